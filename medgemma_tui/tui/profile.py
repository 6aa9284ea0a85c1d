"""Console profiles: what this terminal can show, chosen from a setting or from TERM and its companions.

``color`` has 256 colours or more. ``console16`` has 16 and leaves backgrounds alone: states are told by words and
borders. ``ascii`` draws with nothing but ASCII, and writes signs in questions and answers in
ASCII too (``≥`` as ``>=``); letters of any script are shown as they are in all three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from medgemma_tui.asciitext import to_ascii

ProfileName = Literal["color", "console16", "ascii"]
Animation = Literal["none", "basic", "full"]

_COLOR_TERMS = ("kitty", "alacritty", "foot", "ghostty", "wezterm", "contour", "rio")
_ASCII_TERMS = ("dumb", "vt", "ansi", "unknown", "wyse", "cons")


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Every drawing character of the program, each one cell wide unless it says otherwise."""

    spark: str = "▁▂▃▄▅▆▇█"
    """Levels of a sparkline, lowest first."""
    spark_gap: str = "·"
    """A moment nobody measured."""
    gauge_full: str = "█"
    gauge_parts: str = "▏▎▍▌▋▊▉"
    """Partly filled cells of a gauge, emptiest first; may be empty."""
    gauge_empty: str = "·"
    fill_instructions: str = "■"
    fill_card: str = "▨"
    fill_history: str = "▤"
    fill_draft: str = "▦"
    fill_reserve: str = "░"
    fill_free: str = "·"
    closed: str = "▸"
    opened: str = "▾"
    dot: str = "·"
    ok: str = "✓"
    warn: str = "!"
    bad: str = "✗"
    unknown: str = "?"
    ellipsis: str = "…"
    bar: str = "│"
    """A vertical rule: beside the trace and quotations, between columns and statements."""
    rule: str = "─"
    cross: str = "┼"
    thick_rule: str = "━"
    bullets: str = "•◦▪"
    """List bullets by depth."""
    prompt: str = "›"
    selected: str = "▌"
    down: str = "↓"
    up: str = "↑"
    approx: str = "≈"
    degree: str = "°C"
    """Two cells; one in ASCII."""
    dash: str = "—"
    flag: str = "⚑"
    """Before something that was found and can be checked."""
    thumb: str = " "
    """A scrollbar's handle, drawn in reverse."""
    track: str = " "
    border: str = "round"
    """Textual border for panels."""
    border_focus: str = "heavy"
    """Textual border for the panel with the keyboard."""

    def shown(self, text: str) -> str:
        """Text of a person or the model as this terminal can show it."""
        return to_ascii(text) if self is ASCII else text


UNICODE = Glyphs()

# What the Linux console's usual fonts hold: code page 437 and little more. Unifont-like fonts are not assumed.
LINUX_CONSOLE = Glyphs(
    spark="·░▒▓█",
    spark_gap=" ",
    gauge_parts="▌",
    fill_card="▒",
    fill_history="=",
    fill_draft="+",
    closed="►",
    opened="▼",
    ok="√",
    bad="x",
    ellipsis="...",
    thick_rule="═",
    bullets="-+*",
    prompt=">",
    approx="≈",
    dash="-",
    flag="»",
    border="solid",
    border_focus="double",
)

ASCII = Glyphs(
    spark="_.-:=+*#",
    spark_gap=" ",
    gauge_full="#",
    gauge_parts="",
    gauge_empty=".",
    fill_instructions="#",
    fill_card="%",
    fill_history="=",
    fill_draft="+",
    fill_reserve=":",
    fill_free=".",
    closed=">",
    opened="v",
    dot="-",
    ok="+",
    bad="x",
    ellipsis="...",
    bar="|",
    rule="-",
    cross="+",
    thick_rule="=",
    bullets="-+*",
    prompt=">",
    selected="#",
    down="v",
    up="^",
    approx="~",
    degree="C",
    dash="-",
    flag="*",
    thumb="#",
    border="ascii",
    border_focus="ascii",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """What the terminal can show. ``theme`` is a name of ``themes.THEMES``.

    ``animation`` is Textual's level: none anywhere, since at ten frames a second an animation is bytes and no grace.
    """

    name: ProfileName
    glyphs: Glyphs
    theme: str
    animation: Animation = "none"

    @property
    def css_class(self) -> str:
        """The class the app carries, so that stylesheets can say ``.-ascii GpuPanel { … }``."""
        return f"-{self.name}"


def choose(setting: str, environ: Mapping[str, str], theme: str = "clinic-dark") -> Profile:
    """The profile for a setting (``auto``, ``color``, ``console16``, ``ascii``) and an environment.

    ``theme`` is the colour theme wanted; it counts in the ``color`` profile only.
    """
    term = environ.get("TERM", "").lower()
    name = _named(setting) or _from_environment(term, environ)
    if name == "color":
        return Profile("color", UNICODE, theme)
    if name == "console16":
        return Profile("console16", LINUX_CONSOLE if term == "linux" else UNICODE, "clinic-16")
    return Profile("ascii", ASCII, "clinic-16")


def _named(setting: str) -> ProfileName | None:
    """The profile a setting names; None for ``auto`` and anything unknown."""
    return setting if setting in ("color", "console16", "ascii") else None  # type: ignore[return-value]


def _from_environment(term: str, environ: Mapping[str, str]) -> ProfileName:
    if not term or term.startswith(_ASCII_TERMS) or term.endswith("-mono") or not _speaks_utf8(environ):
        return "ascii"
    if "NO_COLOR" in environ:
        return "console16"  # its states never depend on a colour
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") and term != "linux":
        return "color"
    if "256color" in term or "direct" in term or any(name in term for name in _COLOR_TERMS):
        return "color"
    return "console16"


def _speaks_utf8(environ: Mapping[str, str]) -> bool:
    """False only where the locale names another character set; sshd often passes none at all."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        value = environ.get(name, "")
        if value:
            charset = value.partition(".")[2].partition("@")[0]
            return not charset or charset.lower().replace("-", "") == "utf8"
    return True
