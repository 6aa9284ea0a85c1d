"""The teaching view: the causal chain of an answer, drawn over the whole screen and played step by step.

No timer runs while it is paused, and only the rows that change are painted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from medgemma_tui import clinical_words
from medgemma_tui.clinical import causal
from medgemma_tui.clinical.deidentify import find_identifiers, mask
from medgemma_tui.clinical.tables import TableError
from medgemma_tui.i18n import N_, _
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui import new_file, teaching
from medgemma_tui.tui.ink import MUTED, TEXT, Ink, Line, Panel, Run, width_of
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.recording import identifiers, recording
from medgemma_tui.tui.screens.dialogs import HELP
from medgemma_tui.tui.screens.file_name import FileName
from medgemma_tui.tui.wrap import cells, truncate, wrap

Source = Literal["", "model", "answer"]

PACES_S = (8.0, 5.0, 3.0, 2.0, 1.0, 0.5)
"""Seconds a step is shown, slowest first."""
_USUAL = 2

_SOURCES: dict[Source, str] = {
    "": "",
    "model": N_("The model gave this chain; the program found its steps in the answer."),
    "answer": N_("The program took this chain from the answer's text."),
}
_KEYS = (
    (N_("Space"), N_("play, pause")),
    (N_("Left Right"), N_("step")),
    ("+ -", N_("speed")),
    ("w", N_("to a file")),
    ("Home End", N_("first, last")),
    ("Esc", N_("close")),
)


class Stage(Panel):
    """Everything that the teaching view shows. ``chain`` is None until it is known."""

    def __init__(self, profile: Profile, title: str, *, demo: bool) -> None:
        super().__init__(id="stage")
        self._glyphs = profile.glyphs
        self.boxes = teaching.ASCII if profile.name == "ascii" else teaching.LINES
        self._title, self._demo = title, demo
        self.chain: tuple[str, ...] | None = None
        self.source: Source = ""
        self.step = 1
        self.playing = False
        self.pace = _USUAL
        self.said: Run = ("", MUTED)

    def on_resize(self) -> None:
        """Another size: drawn anew."""
        self._laid_for = 0
        self.refresh()

    def compose_lines(self, width: int) -> list[Line]:
        """The head, the drawing, the keys: as many lines as the screen has."""
        height = self.size.height
        head = [self._head(width), self._cut(_(_SOURCES[self.source]), width), self._state(width), []]
        foot = [self._cut(*self._foot(width)), self._keys(width)]
        room = max(0, height - len(head) - len(foot))
        body = self._body(width, room)[:room]
        return [*head, *body, *([] for _row in range(room - len(body))), *foot][:height]

    def _foot(self, width: int) -> tuple[str, int, Ink]:
        """What was said last; where nothing was, that the chain is to be checked."""
        if self.said[0] or not self.chain:
            return self.said[0], width, self.said[1]
        verify = clinical_words.verify()
        return verify if cells(verify) <= width else _("verify before use"), width, MUTED

    def _cut(self, text: str, width: int, ink: Ink = MUTED) -> Line:
        return [(truncate(text, width, self._glyphs.ellipsis), ink)] if text else []

    def _head(self, width: int) -> Line:
        badge = _("DEMO, NOT MEDICAL") if self._demo else ""
        room = width - cells(badge) - 2 if badge else width
        line = self._cut(_("Teaching view"), room, Ink("heading", bold=True))
        rest = room - width_of(line) - 2
        if rest > 4:
            line += [("  ", TEXT), *self._cut(self._title, rest, Ink("question"))]
        if badge:
            line += [(" " * max(1, width - width_of(line) - cells(badge)), TEXT), (badge, Ink("demo", bold=True))]
        return line

    def _state(self, width: int) -> Line:
        if not self.chain:
            return []
        parts = [
            _("step {n} of {total}").format(n=self.step, total=len(self.chain)),
            _("playing") if self.playing else _("paused"),
            _("{seconds} s a step").format(seconds=f"{PACES_S[self.pace]:g}"),
        ]
        return self._cut(f" {self._glyphs.dot} ".join(parts), width, TEXT)

    def _keys(self, width: int) -> Line:
        """As many keys as fit; the last one, which closes, always."""
        line: Line = []
        room = width - cells(f"{_KEYS[-1][0]} {_(_KEYS[-1][1])}")
        for key, what in _KEYS:
            shown, text = _(key), f" {_(what)}"
            needs = cells(shown + text) + 2
            if needs > room and key != _KEYS[-1][0]:
                continue
            room -= needs
            line += [(shown, Ink("muted", bold=True)), (f"{text}  ", MUTED)]
        return line

    def _body(self, width: int, room: int) -> list[Line]:
        if self.chain is None:
            asked = _("The model is asked for the causal chain of this answer. Space: do not wait for it.")
            return wrap([(asked, TEXT)], width)
        if not self.chain:
            none = _("No causal chain was found in this answer.")
            todo = _("Ask for the mechanism: a four-part answer has a part for it, which this view reads.")
            return [*wrap([(none, Ink("warn"))], width), *wrap([(todo, TEXT)], width)]
        return teaching.draw(self.chain, self.step, width, room, self.boxes)


class TeachingScreen(Screen[None]):
    """One answer's chain. ``take`` gives it what the model or the program found."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f12,ctrl+right_square_bracket", "dismiss", N_("Close"), priority=True, show=False),
        Binding("space", "play", show=False),
        Binding("left,up,pageup", "step(-1)", show=False),
        Binding("right,down,pagedown,enter", "step(1)", show=False),
        Binding("plus,equals_sign", "pace(1)", show=False),
        Binding("minus,underscore", "pace(-1)", show=False),
        Binding("home", "go(1)", show=False),
        Binding("end", "go(0)", show=False),
        Binding("w", "write", show=False),
        HELP,
    ]

    class Impatient(Message):
        """The person does not wait for the model."""

    def __init__(self, profile: Profile, title: str, *, demo: bool) -> None:
        """``title``: what was asked; it is masked, for others see it. ``demo``: the demo model answered it."""
        super().__init__()
        self._glyphs = profile.glyphs
        self.stage = Stage(profile, self._glyphs.shown(clean_line(_masked(title))), demo=demo)
        self.demo = demo
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """The stage alone."""
        yield self.stage

    def take(self, chain: Sequence[str], source: Source) -> None:
        """The chain is known now; an empty one is said to be none."""
        stage = self.stage
        stage.chain = tuple(self._glyphs.shown(clean_line(step)) for step in chain)
        stage.source = source if chain else ""
        stage.step = 1
        stage.redraw()

    @property
    def waiting(self) -> bool:
        """True until a chain, or none, was given."""
        return self.stage.chain is None

    def extract(self, answer: str) -> None:
        """Take the chain that the answer's own text has; where the lists for that cannot be used, say so."""
        try:
            self.take(causal.chain_from_answer(answer), "answer")
        except TableError as error:
            self.take((), "")
            self.say(str(error), "bad")

    def say(self, text: str, role: str = "muted") -> None:
        """A remark at the foot, until the next step."""
        self.stage.said = (self._glyphs.shown(clean_line(text)), Ink(role))
        self.stage.redraw()

    # --- playing ---

    def action_play(self) -> None:
        """Play or pause; at the end play from the start; while the model is asked, do not wait for it."""
        stage = self.stage
        if self.waiting:
            self.post_message(self.Impatient())
        elif stage.chain:
            if not stage.playing and stage.step == len(stage.chain):
                stage.step = 1
            self._play(not stage.playing)

    def action_step(self, by: int) -> None:
        """A step forward or back, and pause."""
        self._go(self.stage.step + by)

    def action_go(self, step: int) -> None:
        """To a step, the last one for 0, and pause."""
        self._go(step or len(self.stage.chain or ()))

    def action_pace(self, by: int) -> None:
        """Quicker or slower."""
        stage = self.stage
        stage.pace = min(len(PACES_S) - 1, max(0, stage.pace + by))
        self._play(stage.playing)

    def _go(self, step: int) -> None:
        stage = self.stage
        if stage.chain:
            stage.step = min(len(stage.chain), max(1, step))
            stage.said = ("", MUTED)
            self._play(False)

    def _play(self, on: bool) -> None:
        """Play or pause from here on, and show it."""
        stage = self.stage
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        stage.playing = on and bool(stage.chain) and stage.step < len(stage.chain or ())
        if stage.playing:
            self._timer = self.set_timer(PACES_S[stage.pace], self._next)
        stage.redraw()

    def _next(self) -> None:
        self.stage.step += 1
        self.stage.said = ("", MUTED)
        self._play(True)

    # --- a file of it ---

    def action_write(self) -> None:
        """Ask where to, where nothing in it could tell who the patient is."""
        if not self.stage.chain:
            self.say(_("There is no chain to write."), "warn")
        elif refusal := self._refusal():
            self.say(refusal, "bad")
        else:
            self._play(False)
            what = _("An asciicast of this chain, without the question, is written where you say. It is not encrypted.")
            self.app.push_screen(FileName(_("To a file"), what), self._named)

    def _refusal(self) -> str:
        try:
            found = identifiers(self.stage.chain or ())
        except TableError as error:
            return _("Not written: the lists of the identifier guard cannot be used ({problem}).").format(problem=error)
        return _("Not written. {why}").format(why=clinical_words.identifiers_found(found)) if found else ""

    async def _named(self, typed: str | None) -> None:
        if not typed:
            return
        stage = self.stage
        head = [_("MedGemma teaching view"), _(_SOURCES[stage.source])]
        head += [_("DEMO, NOT MEDICAL")] if self.demo else []
        size = (stage.size.width, stage.size.height)
        text = recording(stage.chain or (), head, clinical_words.verify(), stage.boxes, size, PACES_S[stage.pace])
        try:
            path = new_file.place(typed)
            await asyncio.to_thread(new_file.write, path, text)
        except new_file.NotWritten as error:
            self.say(str(error), "bad")
        else:
            self.say(_("Written to {path}, readable by you alone.").format(path=path), "ok")


def _masked(question: str) -> str:
    """A question as it can be shown to a room; nothing where the lists for that cannot be used."""
    try:
        return mask(question, find_identifiers(question))
    except TableError:
        return ""
