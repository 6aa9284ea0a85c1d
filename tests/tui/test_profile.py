"""Profiles follow the terminal; themes keep their contrast."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.color import Color

from medgemma_tui.tui import themes
from medgemma_tui.tui.profile import ASCII, LINUX_CONSOLE, UNICODE, Glyphs, choose

STYLES = Path(__file__).parents[2] / "styles"


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"TERM": "xterm-256color"}, "color"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "color"),
        ({"TERM": "screen-256color", "LANG": "zh_CN.UTF-8"}, "color"),
        ({"TERM": "xterm-kitty"}, "color"),
        ({"TERM": "xterm"}, "console16"),
        ({"TERM": "linux"}, "console16"),
        ({"TERM": "linux", "COLORTERM": "truecolor"}, "console16"),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "console16"),
        ({"TERM": "xterm-256color", "LANG": "zh_CN.GB18030"}, "ascii"),
        ({"TERM": "vt220"}, "ascii"),
        ({"TERM": "dumb"}, "ascii"),
        ({}, "ascii"),
    ],
)
def test_the_terminal_decides(environ: dict[str, str], name: str) -> None:
    assert choose("auto", environ).name == name


@pytest.mark.parametrize("setting", ["color", "console16", "ascii"])
def test_the_setting_overrides_the_terminal(setting: str) -> None:
    assert choose(setting, {"TERM": "xterm-256color"}).name == setting
    assert choose(setting, {"TERM": "dumb"}).name == setting


def test_the_theme_counts_in_colour_only() -> None:
    assert choose("color", {}, "clinic-light").theme == "clinic-light"
    assert choose("console16", {}, "clinic-light").theme == "clinic-16"
    assert choose("ascii", {}, "clinic-light").css_class == "-ascii"


def characters(glyphs: Glyphs) -> str:
    return "".join(
        getattr(glyphs, field.name) for field in fields(glyphs) if field.name not in ("border", "border_focus")
    )


def test_ascii_draws_with_ascii_only() -> None:
    assert characters(ASCII).isascii()
    assert ASCII.border == "ascii"


def test_the_linux_console_has_every_glyph_in_its_font() -> None:
    font = {chr(code) for code in range(0x20, 0x7F)} | {bytes([code]).decode("cp437") for code in range(0x80, 0x100)}
    font |= set("☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼")  # the glyphs of codes 1 to 31
    assert set(characters(LINUX_CONSOLE)) <= font


@pytest.mark.parametrize("glyphs", [UNICODE, LINUX_CONSOLE, ASCII])
def test_every_glyph_is_one_cell(glyphs: Glyphs) -> None:
    assert all(cell_len(character) == 1 for character in characters(glyphs))


@pytest.mark.parametrize("glyphs", [UNICODE, LINUX_CONSOLE, ASCII])
def test_segments_of_the_meter_differ_without_colour(glyphs: Glyphs) -> None:
    fills = [getattr(glyphs, field.name) for field in fields(glyphs) if field.name.startswith("fill_")]
    assert len(set(fills)) == len(fills) == 6


def luminance(color: Color) -> float:
    def linear(value: int) -> float:
        part = value / 255
        return part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4

    return 0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(Color.parse(one)), luminance(Color.parse(other))))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [theme for theme in themes.THEMES if not theme.ansi], ids=lambda theme: theme.name)
def test_text_has_contrast_on_every_ground(theme) -> None:
    for role in themes.INKS:
        for ground in (theme.background, theme.surface, theme.panel):
            assert contrast(theme.variables[f"ink-{role}"], ground) >= 4.5, (role, ground)
    for name in ("warning", "error", "success", "accent", "primary", "foreground"):
        assert contrast(getattr(theme, name), theme.background) >= 4.5, name


def test_sixteen_colours_keep_the_terminals_own_text() -> None:
    sixteen = next(theme for theme in themes.THEMES if theme.ansi)
    assert {sixteen.variables[f"ink-{role}"] for role in themes.INKS} == {"ansi_default"}


def test_no_stylesheet_selects_everything() -> None:
    for path in STYLES.glob("*.tcss"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        for selectors in re.findall(r"([^{}]+)\{", text):
            assert "*" not in selectors, (path.name, selectors)
