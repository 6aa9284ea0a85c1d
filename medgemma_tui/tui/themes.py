"""Colour themes: dark and light for the ``color`` profile, the terminal's own colours for the two others.

The ``ink-…`` variables are this program's own roles; the stylesheets speak of them and of Textual's. Text in any of
``INKS`` has a contrast of at least 4.5 : 1 on every ground of its theme. In sixteen colours nobody knows what the
terminal's colours look like, so text there keeps the terminal's own, and bold and reverse mark what matters.
"""

from __future__ import annotations

from rich.color import Color
from rich.segment import Segment, Segments
from rich.style import Style
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.theme import Theme

from medgemma_tui.tui.profile import Profile

INKS = ("text", "muted", "heading", "code", "link", "trace", "question", "ok", "warn", "bad", "demo")
"""Roles of text. In a stylesheet: ``$ink-muted``."""

_DARK = {
    "ink-text": "#e6e8eb",
    "ink-muted": "#a3abb5",
    "ink-heading": "#8cc8ff",
    "ink-code": "#e0c285",
    "ink-link": "#8ab4f8",
    "ink-trace": "#a9b3c1",
    "ink-question": "#b9d8f5",
    "ink-ok": "#7fd18b",
    "ink-warn": "#f0c060",
    "ink-bad": "#ff8f8f",
    "ink-demo": "#ffb454",
    "edge": "#4a5563",
    "edge-focus": "#8cc8ff",
}
_LIGHT = {
    "ink-text": "#1b1f24",
    "ink-muted": "#535b66",
    "ink-heading": "#0b4f8a",
    "ink-code": "#6b4a00",
    "ink-link": "#0b57c4",
    "ink-trace": "#4c5561",
    "ink-question": "#0d4675",
    "ink-ok": "#1b6b2d",
    "ink-warn": "#7a5200",
    "ink-bad": "#b3202c",
    "ink-demo": "#8a4b00",
    "edge": "#8b95a1",
    "edge-focus": "#0b4f8a",
}
_SIXTEEN = {
    **{f"ink-{role}": "ansi_default" for role in INKS},
    "edge": "ansi_default",
    "edge-focus": "ansi_default",
    "ansi-background": "ansi_black",
    "ansi-foreground": "ansi_white",
    "border": "ansi_default",
    "border-blurred": "ansi_default",
    "text-muted": "ansi_default",
    "text-disabled": "ansi_default",
    "foreground-muted": "ansi_default",
    "block-cursor-foreground": "ansi_black",
    "block-cursor-background": "ansi_white",
    "input-cursor-text-style": "reverse",
    "input-selection-background": "ansi_cyan",
    "input-selection-foreground": "ansi_black",
    "screen-selection-background": "ansi_cyan",
    "screen-selection-foreground": "ansi_black",
    "scrollbar": "ansi_default",
    "scrollbar-hover": "ansi_default",
    "scrollbar-active": "ansi_default",
    "scrollbar-background": "ansi_default",
    "scrollbar-background-hover": "ansi_default",
    "scrollbar-background-active": "ansi_default",
    "scrollbar-corner-color": "ansi_default",
    "footer-key-foreground": "ansi_default",
    "link-color": "ansi_default",
    "link-background-hover": "ansi_default",
    "link-color-hover": "ansi_default",
}

THEMES = (
    Theme(
        name="clinic-dark",
        primary="#5aa9e6",
        secondary="#3f7fb0",
        accent="#ffb454",
        warning="#f0c060",
        error="#ff8f8f",
        success="#7fd18b",
        foreground="#e6e8eb",
        background="#11151a",
        surface="#181d24",
        panel="#20262f",
        variables=_DARK,
    ),
    Theme(
        name="clinic-light",
        primary="#0b4f8a",
        secondary="#35699a",
        accent="#8a4b00",
        warning="#7a5200",
        error="#b3202c",
        success="#1b6b2d",
        foreground="#1b1f24",
        background="#fafbfc",
        surface="#f0f2f5",
        panel="#e4e8ed",
        dark=False,
        variables=_LIGHT,
    ),
    Theme(
        name="clinic-16",
        ansi=True,
        primary="ansi_cyan",
        secondary="ansi_cyan",
        accent="ansi_cyan",
        warning="ansi_yellow",
        error="ansi_red",
        success="ansi_green",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        variables=_SIXTEEN,
    ),
)


def variable_defaults(profile: Profile) -> dict[str, str]:
    """For ``App.get_theme_variable_defaults``: our variables under any of Textual's own themes."""
    return dict(_DARK if profile.name == "color" else _SIXTEEN)


def use_scrollbars(profile: Profile) -> None:
    """Draw every scrollbar with this profile's characters. Call it before the app runs."""
    if profile.name == "color":
        ScrollBar.renderer = ScrollBarRender
        return
    glyphs = profile.glyphs

    class WholeCells(ScrollBarRender):
        """A scrollbar of whole cells, without eighth blocks."""

        @classmethod
        def render_bar(
            cls,
            size: int = 25,
            virtual_size: float = 50,
            window_size: float = 20,
            position: float = 0,
            thickness: int = 1,
            vertical: bool = True,
            back_color: Color = Color.default(),  # noqa: B008 (a constant)
            bar_color: Color = Color.default(),  # noqa: B008
        ) -> Segments:
            """Segments of the bar: one a row, or one a column."""
            span = virtual_size - window_size
            thumb, start = 0, 0
            if window_size and virtual_size and span > 0:
                thumb = max(1, round(size * window_size / virtual_size))
                start = round((size - thumb) * min(1.0, position / span))
            width = thickness if vertical else 1
            parts = []
            for index in range(int(size)):
                inside = start <= index < start + thumb
                where = "grab" if inside else "scroll_up" if index < start else "scroll_down"
                style = Style(color=bar_color, bgcolor=back_color, reverse=inside, meta={"@mouse.down": where})
                parts.append(Segment((glyphs.thumb if inside else glyphs.track) * width, style))
            if vertical:
                return Segments(parts, new_lines=True)
            return Segments([*parts, Segment.line()] * thickness, new_lines=False)

    ScrollBar.renderer = WholeCells
