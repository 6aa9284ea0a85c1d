"""What the transcript shows of an entry, as pieces that are laid out one by one and only when they come into view."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from medgemma_tui import clinical_words, problems
from medgemma_tui.clinical.findings import Review
from medgemma_tui.clinical.tables import TableError
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.safetext import clean, clean_line
from medgemma_tui.tui import marks
from medgemma_tui.tui.blocks import MAX_BLOCK, Block, Splitter
from medgemma_tui.tui.conversation import Notice, Turn
from medgemma_tui.tui.full_names import NONE, Namer, Names
from medgemma_tui.tui.ink import MUTED, TEXT, Ink, Line, width_of
from medgemma_tui.tui.markdown import render
from medgemma_tui.tui.profile import Glyphs
from medgemma_tui.tui.wrap import wrap

_STEP = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)、]|(?:Step|步骤) ?\d)", re.MULTILINE | re.IGNORECASE)
_PARAGRAPH = re.compile(r"\S[^\n]*(?:\n[^\n]*\S[^\n]*)*")
_TRACE = Ink("trace")
_NOTICE = {"info": MUTED, "warning": Ink("warn"), "error": Ink("bad")}


@dataclass(slots=True, eq=False)
class Piece:
    """Some lines of an entry. ``key`` tells whether it is still the same; ``weight`` is about its cells."""

    key: tuple[object, ...]
    make: Callable[[int], list[Line]]
    weight: int
    breaks: int = 1
    kind: str = ""
    _width: int = 0
    _lines: list[Line] = field(default_factory=list)

    def lines(self, width: int) -> list[Line]:
        """The lines for a width; kept until another width is asked for."""
        if self._width != width:
            self._lines = self.make(width)
            self._width = width
        return self._lines

    def height(self, width: int) -> int:
        """Number of lines: exact where they have been laid out for this width, else an estimate."""
        return len(self._lines) if self._width == width else estimate(self.weight, self.breaks, width)


def estimate(weight: int, breaks: int, width: int) -> int:
    """About how many lines ``weight`` cells in ``breaks`` paragraphs need."""
    return max(1, breaks, weight // max(1, width) + breaks // 2)


def weigh(text: str) -> int:
    """About how many cells a text has: exact for ASCII and Chinese, without looking at each character."""
    return (len(text.encode("utf-8", "replace")) + len(text)) // 2


def steps(trace: str) -> int:
    """Steps of a trace: its numbered or bulleted lines, else its paragraphs."""
    return len(_STEP.findall(trace)) or len(_PARAGRAPH.findall(trace))


class Composer:
    """Makes the pieces of one turn again and again while it grows; finished blocks are not cut twice."""

    def __init__(self, glyphs: Glyphs) -> None:
        self._glyphs = glyphs
        self._trace = Splitter()
        self._answer = Splitter()
        self._namer: Namer | None = None
        self._review: Review | None = None
        self._no_review = ""  # why nothing was looked for

    def notice(self, notice: Notice) -> list[Piece]:
        """The pieces of a line of the program's own."""
        glyphs = self._glyphs
        mark = {"info": glyphs.dot, "warning": glyphs.warn, "error": glyphs.bad}[notice.level]
        return [self._said("notice", clean(notice.text), _NOTICE[notice.level], mark), _blank("end")]

    def turn(self, turn: Turn, *, trace_open: bool, selected: bool, full_names: bool) -> list[Piece]:
        """The pieces of a turn, in order. ``full_names``: behind the abbreviations of its answer."""
        glyphs = self._glyphs
        found = self._reviewed(turn)
        pieces = [self._head("you", turn, selected)]
        pieces.extend(self._plain("q", glyphs.shown(clean(turn.question)), Ink("question")))
        if turn.analysis is not None and (chips := marks.chips(turn.analysis, glyphs)):
            pieces.append(Piece(("chips", tuple(chips)), lambda width: wrap(chips, width), width_of(chips)))
        if turn.left_context:
            text = _("Left the context: the model no longer sees this turn.")
            pieces.append(self._said("left", text, MUTED, glyphs.dot))
        if turn.reasoning:
            pieces.append(self._summary(turn, trace_open, found))
            if trace_open:
                pieces.extend(self._steps(turn, found))
        if turn.state == "waiting" and not turn.answer:
            pieces.append(self._said("wait", clean_line(turn.waiting_for) or _("waiting"), MUTED, glyphs.ellipsis))
        if turn.answer or not turn.live:
            pieces.append(self._head("model", turn, False))
            if turn.unknown_to_demo:
                pieces.append(self._said("demo", problems.demo_does_not_know(), Ink("demo"), glyphs.warn))
        if turn.answer:
            blocks = self._answer.feed(clean(turn.answer))
            self._namer = self._namer or Namer(turn.question)
            names = self._namer.names(blocks[:-1] if turn.live else blocks) if full_names else []
            pieces.extend(self._markdown("a", blocks, turn.live, TEXT, "", names))
        pieces.extend(self._marks(turn, found))
        pieces.extend(self._said(f"note{at}", text, ink, glyphs.warn) for at, (text, ink) in enumerate(_notes(turn)))
        pieces.append(_blank("end"))
        return pieces

    def _head(self, who: str, turn: Turn, selected: bool) -> Piece:
        time = f"{turn.asked_at:%H:%M}"
        line: Line = [(f"{self._glyphs.selected} ", Ink("heading", bold=True))] if selected else []
        if who == "you":
            line += [(_("You"), Ink("question", bold=True)), (f"  {time}", MUTED)]
        else:
            demo = is_demo(turn)
            name = _("Demo model") if demo else clean_line(turn.model) or _("Model")
            line.append((name, Ink("heading", bold=True)))
            speed = turn.usage.tokens_per_second if turn.usage else None
            rate = f" {self._glyphs.dot} {speed:.0f} tok/s" if speed else ""
            line.append((f"  {time}{rate}", MUTED))
            if not demo:  # whose badge says more
                line.append((f" {self._glyphs.dot} " + _("verify before use"), MUTED))
            if demo:
                line += [("  ", TEXT), (_("DEMO, NOT MEDICAL"), Ink("demo", bold=True))]
        return Piece((who, tuple(line)), lambda width: wrap(line, width), 30, kind=who)

    def _reviewed(self, turn: Turn) -> Review:
        """What was found in a reply that has ended; it is looked at once."""
        if turn.live or not turn.wrote:
            return Review()
        if self._review is None:
            from medgemma_tui.clinical.review import review  # not before the first frame

            try:
                self._review = review(clean(turn.question), clean(turn.reasoning), clean(turn.answer))
            except TableError as error:
                self._review, self._no_review = Review(), str(error)
        return self._review

    def _steps(self, turn: Turn, found: Review) -> Iterator[Piece]:
        """The trace, and under each part of it the marks that stand in it."""
        blocks = self._trace.feed(clean(turn.reasoning))
        if not found.steps:
            yield from self._markdown("t", blocks, turn.state == "reasoning", _TRACE, self._glyphs.bar)
            return
        blocks = marks.cut_at_steps(blocks, found.steps)
        pieces = self._markdown("t", blocks, False, _TRACE, self._glyphs.bar)
        for at, (piece, here) in enumerate(zip(pieces, marks.by_block(blocks, found.steps), strict=True)):
            yield piece
            if here:
                yield self._mark(at, marks.line(here, self._glyphs))

    def _mark(self, at: int, line: Line) -> Piece:
        """What was found in a part of the trace, beside the same rule."""
        start: Line = [(f"{self._glyphs.bar}   ", MUTED)]

        def make(width: int) -> list[Line]:
            lead = start if width > 20 else []
            inner = width - width_of(lead)
            lines = wrap(line, inner, rest=2 if lead else 0)
            return [[*lead, *([("  ", MUTED)] if index and lead else []), *each] for index, each in enumerate(lines)]

        return Piece(("tm", at, tuple(line)), make, width_of(line), kind="t")

    def _marks(self, turn: Turn, found: Review) -> Iterator[Piece]:
        """What was found in the answer, and what is to be said with it."""
        glyphs = self._glyphs
        if self._no_review and not turn.live:
            why = _("Not read for marks: {problem}").format(problem=clean_line(self._no_review))
            yield self._said("unread", why, Ink("warn"), glyphs.warn)
        for at, (text, ink) in enumerate(marks.answer_lines(found, glyphs)):
            yield self._said(f"mark{at}", text, ink, glyphs.flag)
        if turn.live or not turn.answer.strip():
            return
        if turn.sections and (missing := clinical_words.missing_sections(found.sections)):
            yield self._said("parts", missing, Ink("warn"), glyphs.warn)
        if turn.analysis is not None and turn.analysis.coaching.question_kind == "conduct":
            yield self._said("conduct", clinical_words.prescription(), Ink("warn"), glyphs.warn)

    def _summary(self, turn: Turn, trace_open: bool, found: Review) -> Piece:
        glyphs = self._glyphs
        thinking = turn.state == "reasoning"
        parts = [_("Reasoning") + (glyphs.ellipsis if thinking else "")]
        count = len(found.steps) or steps(turn.reasoning)
        parts.append(ngettext("{n} step", "{n} steps", count).format(n=count))
        if turn.usage is not None and (tokens := turn.usage.completion_tokens_details.reasoning_tokens):
            parts.append(_("{n} tok").format(n=f"{tokens:,}"))
        parts.extend(marks.counts(found))
        hint = _("F2 hides") if trace_open else _("F2 shows")
        line: Line = [
            (f"{glyphs.opened if trace_open else glyphs.closed} ", Ink("heading")),
            (f" {glyphs.dot} ".join(parts), _TRACE),
            (f"  ({hint})", MUTED),
        ]

        def make(width: int) -> list[Line]:
            hinted = width_of(line) <= width or width_of(line[:-1]) > width  # the key bar has the key, too
            return wrap(line if hinted else line[:-1], width)

        return Piece(("summary", tuple(line)), make, 40, kind="summary")

    def _said(self, name: str, text: str, ink: Ink, mark: str) -> Piece:
        """A sentence of the program's own, with a hanging mark."""

        def make(width: int) -> list[Line]:
            lines = wrap([(f"{mark} ", ink), (text, ink)], width, rest=2 if width > 10 else 0)
            return [line if at == 0 or width <= 10 else [("  ", ink), *line] for at, line in enumerate(lines)]

        return Piece((name, text, ink), make, weigh(text), kind="said")

    def _plain(self, name: str, text: str, ink: Ink) -> Iterator[Piece]:
        """Text as it is, cut into pieces that are quick to lay out."""
        at = index = 0
        while at < len(text):
            end = min(len(text), at + MAX_BLOCK)
            if end < len(text) and (cut := text.rfind("\n", at, end)) > at:
                end = cut + 1
            part = text[at:end].removesuffix("\n")
            yield Piece(
                (name, index, part), lambda width, part=part: wrap([(part, ink)], width),  # type: ignore[misc]
                weigh(part), part.count("\n") + 1,
            )  # fmt: skip
            at, index = end, index + 1

    def _markdown(
        self, name: str, blocks: list[Block], live: bool, ink: Ink, bar: str, names: Sequence[Names] = ()
    ) -> Iterator[Piece]:
        """Blocks of Markdown, with a rule beside them if ``bar`` is given; the last one may still grow.

        ``names`` are the full names in the first blocks.
        """
        for at, block in enumerate(blocks):
            growing = live and at == len(blocks) - 1
            added = names[at] if at < len(names) else NONE

            def make(width: int, block: Block = block, growing: bool = growing, added: Names = added) -> list[Line]:
                inner = width - 2 if bar else width
                lines = render(block.text, inner, self._glyphs, ink, live=growing, names=added)
                if block.gap:
                    lines.insert(0, [])
                return [[(f"{bar} ", MUTED), *line] for line in lines] if bar else lines

            breaks = block.text.count("\n") + 1 + block.gap
            yield Piece((name, at, block, growing, added), make, weigh(block.text), breaks, kind=name)


def is_demo(turn: Turn) -> bool:
    """Whether the demo model answered this turn."""
    return turn.unknown_to_demo or "demo" in turn.model.lower()


def _blank(name: str) -> Piece:
    return Piece((name,), lambda _width: [[]], 0)


def _notes(turn: Turn) -> Iterator[tuple[str, Ink]]:
    """What must be said about how a reply ended, in words."""
    closed = turn.usage.trace_closed if turn.usage is not None else ""
    if closed == "budget":
        yield _("The reasoning was cut at its budget; the answer rests on what was thought until then."), Ink("warn")
    elif closed == "repetition":
        yield _("The reasoning went round in a loop and was cut."), Ink("warn")
    elif closed == "skipped":
        yield _("Answered without reasoning, as asked: less safe."), Ink("warn")
    if turn.error is not None:
        yield problems.sentence(turn.error), Ink("bad")
    if turn.finish_reason and (sentence := problems.finish_sentence(turn.finish_reason)):
        yield sentence, Ink("bad" if turn.finish_reason == "non_finite" else "warn")
    if turn.live or turn.answer.strip():
        return
    if turn.error is None and turn.finish_reason != "cancelled":
        yield _("The model wrote no answer."), Ink("warn")
    yield _("Not part of the context: the model does not see this question with the next ones."), MUTED
