"""The status bar: three statements about the GPU, the model and privacy, fitted to the width."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from medgemma_tui.i18n import _
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.ink import MUTED, TEXT, Ink, Line, Panel
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.wrap import cells, truncate, wrap

Level = Literal["ok", "warn", "bad", "unknown"]

MODEL = 1
"""The place of the model among them."""
HEALTH = 3
"""The place of the health run's verdict."""

_INKS = {"ok": Ink("ok"), "warn": Ink("warn", bold=True), "bad": Ink("bad", bold=True), "unknown": MUTED}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement in the language in use, the most important words first.

    ``short`` is what must still be readable at 80 columns; empty: the text up to its first comma, bracket or dot.
    ``shortest`` is for where even that is too long; empty: the short form up to its first colon.
    """

    text: str
    level: Level = "unknown"
    short: str = ""
    shortest: str = ""

    @property
    def brief(self) -> str:
        """The short form."""
        if self.short:
            return self.short
        ends = [at for mark in "（(，,。;；·" if (at := self.text.find(mark)) > 0]
        return self.text[: min(ends)].rstrip() if ends else self.text

    @property
    def least(self) -> str:
        """The state alone, without its reason."""
        return self.shortest or re.split("[:：]", self.brief)[0]


class StatusBar(Panel):
    """``GPU: … │ Model: … │ Privacy: … │ Health: …`` in one row."""

    def __init__(self, profile: Profile, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._glyphs = profile.glyphs
        self._statements = (Statement(""),) * 4

    def show(self, gpu: Statement, model: Statement, privacy: Statement, health: Statement) -> None:
        """Say these from now on."""
        self._statements = (gpu, model, privacy, health)
        self.redraw()

    def compose_lines(self, width: int) -> list[Line]:
        """One line: long forms where they fit, else short ones from the longest on, cut only at last.

        Where not even the shortest fit, the verdict of the health run goes: the banner says what is not fit.
        """
        labels = (_("GPU"), _("Model"), _("Privacy"), _("Health"))
        heads = [_("{name}: {value}").format(name=label, value="") for label in labels]
        return self._fitted(heads, width) or self._fitted(heads[:HEALTH], width, cut=True)

    def _fitted(self, heads: list[str], width: int, *, cut: bool = False) -> list[Line]:
        """The statements that have a head, in their forms that fit; nothing where none do and none may be ``cut``."""
        glyphs, statements = self._glyphs, self._statements[: len(heads)]
        marks = {"ok": "", "warn": glyphs.warn + " ", "bad": glyphs.bad + " ", "unknown": ""}

        def said(item: Statement, text: str) -> str:
            return marks[item.level] + clean_line(text or _("unknown")).replace("·", glyphs.dot)

        texts = [said(item, item.text) for item in statements]
        briefs = [said(item, item.brief) for item in statements]
        least = [said(item, item.least) for item in statements]
        gap = f" {glyphs.bar} "
        room = width - sum(map(cells, heads)) - (len(heads) - 1) * cells(gap)
        for shorter in (briefs, least):
            _shorten(texts, shorter, room)
        if not cut and sum(map(cells, texts)) > room:
            return []
        _share(texts, room, glyphs.ellipsis)
        line: Line = []
        for head, text, item in zip(heads, texts, statements, strict=True):
            if line:
                line.append((gap, MUTED))
            line += [(head, TEXT), *_demo_stands_out(text, _INKS[item.level])]
        return wrap(line, width)[:1]


def _shorten(texts: list[str], shorter: list[str], room: int) -> None:
    """Put shorter forms in the place of texts, as few as needed, until they fit in ``room`` cells together."""
    while (over := sum(map(cells, texts)) - room) > 0:
        savings = {at: cells(texts[at]) - cells(shorter[at]) for at in range(len(texts))}
        enough = [at for at in savings if savings[at] >= over]
        # the model's state is what changes: it is shortened after the others
        at = max(savings, key=savings.__getitem__)
        if enough:
            at = min(enough, key=lambda place: (place == MODEL, savings[place]))
        if savings[at] <= 0:
            break
        texts[at] = shorter[at]


def _share(texts: list[str], room: int, ellipsis: str) -> None:
    """Cut texts, the longest first, until they fit in ``room`` cells together; those with DEMO at the very last."""
    for least, demo_too in ((12, False), (4, False), (1, True)):
        while (over := sum(map(cells, texts)) - room) > 0:
            may = [at for at in range(len(texts)) if cells(texts[at]) > least and (demo_too or "DEMO" not in texts[at])]
            if not may:
                break
            at = max(may, key=lambda index: cells(texts[index]))
            texts[at] = truncate(texts[at], max(least, cells(texts[at]) - over), ellipsis)


def _demo_stands_out(text: str, ink: Ink) -> Line:
    """The word DEMO in its own ink."""
    parts: Line = []
    for index, part in enumerate(text.split("DEMO")):
        if index:
            parts.append(("DEMO", Ink("demo", bold=True)))
        if part:
            parts.append((part, ink))
    return parts
