"""Where a trace falls into steps: numbered or bulleted lines, else paragraphs, else lines, else sentences.

What a step holds stays together: the bullets under a number, the lines of an item. Every letter, digit and Chinese
character of a trace is in exactly one step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from medgemma_tui.clinical.findings import Span

_NUMBERED = re.compile(
    r"(?P<indent>[ \t]{0,40})(?:#{1,6} {0,3})?(?:\*\*|__)?(?:"
    r"\d{1,3}[.)、．）](?!\d)|[（(]\d{1,2}[）)]|[①-⑳]|[一二三四五六七八九十]{1,3}[、．.]|[（(][一二三四五六七八九十]{1,3}[）)]"
    r"|第[一二三四五六七八九十\d]{1,3}步|步骤 ?[一二三四五六七八九十\d]{1,3}|step ?\d{1,3}\b)",
    re.IGNORECASE,
)
_ARABIC, _HAN_NUMBER, _CIRCLED = re.compile(r"[0-9]+"), re.compile("[一二三四五六七八九十]+"), re.compile("[①-⑳]")
_IS_ONE = re.compile(r"(?<![0-9])1(?![0-9])|①|(?<![一二三四五六七八九十])一(?![一二三四五六七八九十])")
_BULLET = re.compile(r"(?P<indent>[ \t]{0,40})(?:[-*+•·‣▪●○–—]|->)[ \t]")
_HEADING = re.compile(r"[ \t]{0,3}(?:#{1,6} |\*\*[^*\n]{1,80}\*\*[:：]?[ \t]*$)")
_INLINE = re.compile(r"(?:^|(?<=[\s。；;，,：:.]))[（(]?(?P<n>\d{1,2})[.)、．）](?![\d.])")
_SENTENCE_END = re.compile(r"[。！？!?；]+[”’」』)）\"']*|[.](?=[”’\"')]*\s+[A-Z“\"(\u4e00-\u9fff])[”’\"')]*")
_ABBREVIATED = re.compile(
    r"(?:\b(?:e\.g|i\.e|vs|dr|mr|mrs|ms|prof|approx|no|fig|ca|cf|al|st)|\b[A-Za-z])$", re.IGNORECASE
)
_OPENS = re.compile(
    r"\s*(?:首先|其次|再次|然后|接着|随后|最后|因此|所以|综上|总之|另外|此外|但是|然而|接下来|第[一二三四五六七八九十]|"
    r"(?:first|firstly|second|secondly|third|thirdly|next|then|finally|lastly|therefore|thus|hence|so|however|also|"
    r"in summary|overall|now|wait|let me|okay|ok)\b)",
    re.IGNORECASE,
)
_GROUP = 90  # cells of a step that is made of sentences
_SHORT = 48  # characters of a line that only announces what follows
_INDENT = 2  # columns from which a numbered line belongs to the one above


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str


def split(reasoning: str) -> tuple[Span, ...]:
    """The steps of a trace as spans, in order; none for a trace without a letter. Never raises; linear in the text."""
    lines = list(_lines(reasoning))
    written = [line for line in lines if line.text.strip()]
    starts = _item_starts(lines) if len(written) > 1 else []
    if starts:
        spans = _items(lines, starts)
    else:
        spans = _paragraphs(lines)
        if len(spans) == 1:
            spans = _one_block(reasoning, written)
    return tuple(_trimmed(reasoning, spans))


def _lines(text: str) -> Iterator[_Line]:
    at = 0
    for line in text.split("\n"):
        yield _Line(at, at + len(line), line)
        at += len(line) + 1


def _item_starts(lines: Sequence[_Line]) -> list[int]:
    """The lines that begin an item of the outermost list: a numbered one if there is one, else a bulleted one."""
    for pattern, least in ((_NUMBERED, 2), (_BULLET, 2), (_NUMBERED, 1)):
        found = [
            (at, _columns(match["indent"])) for at, line in enumerate(lines) if (match := pattern.match(line.text))
        ]
        if found:
            outermost = min(indent for _at, indent in found)
            outer = [at for at, indent in found if indent < outermost + _INDENT]
            if pattern is _NUMBERED:
                outer = _of_one_style(lines, outer)
            if len(outer) >= least:
                return outer
    return []


def _of_one_style(lines: Sequence[_Line], starts: list[int]) -> list[int]:
    """Those numbered like the first where each of them may hold a list of its own: 一、 over 1. and 2."""
    found = [(at, *_style(lines[at].text)) for at in starts]
    first = found[0][1]
    own = [at for at, style, _one in found if style == first]
    others = [(at, one) for at, style, one in found if style != first]
    if len(own) < 2 or not others or not others[0][1]:
        return starts
    return own


def _style(line: str) -> tuple[str, bool]:
    """How a line is numbered, and whether its number is one."""
    match = _NUMBERED.match(line)
    marker = match[0].strip() if match else ""
    plain = marker.lstrip("#*_ ")
    shape = _CIRCLED.sub("①", _HAN_NUMBER.sub("一", _ARABIC.sub("1", plain))).lower()
    heading = "#" if marker.startswith("#") else "*" if marker.startswith(("**", "__")) else ""
    return heading + shape, _IS_ONE.search(plain) is not None


def _columns(indent: str) -> int:
    return len(indent.expandtabs(4))


def _items(lines: Sequence[_Line], starts: list[int]) -> list[Span]:
    """Each item with all that stands under it; what stands before the first and far behind the last is by itself."""
    begins = [_with_heading(lines, at) for at in starts]
    spans = _paragraphs(lines[: begins[0]])
    if spans and _announces(lines[: begins[0]]):
        begins[0] = 0
        spans = []
    tail = _tail(lines, starts[-1])
    for at, begin in enumerate(begins):
        end = begins[at + 1] if at + 1 < len(begins) else tail
        if end > begin:
            spans.append((lines[begin].start, lines[end - 1].end))
    return spans + _paragraphs(lines[tail:])


def _with_heading(lines: Sequence[_Line], at: int) -> int:
    """An item begins with the heading right above it."""
    above = at - 1
    while above >= 0 and not lines[above].text.strip():
        above -= 1
        if at - above > 2:
            return at
    return above if above >= 0 and _HEADING.match(lines[above].text) and not _NUMBERED.match(lines[above].text) else at


def _announces(lines: Sequence[_Line]) -> bool:
    """Whether there is but one short line that announces the list: a heading, or one that ends in a colon."""
    said = [line.text.strip() for line in lines if line.text.strip()]
    if len(said) != 1 or len(said[0]) > _SHORT:
        return False
    return said[0].rstrip("*_ ").endswith((":", "：")) or _HEADING.match(said[0]) is not None or said[0] == "thought"


def _tail(lines: Sequence[_Line], last: int) -> int:
    """Where the last item ends: before a paragraph that is not indented, behind an empty line."""
    for at in range(last + 2, len(lines)):
        line = lines[at].text
        if line.strip() and not line[0].isspace() and not lines[at - 1].text.strip() and not _BULLET.match(line):
            return at
    return len(lines)


def _paragraphs(lines: Sequence[_Line]) -> list[Span]:
    """Lines between empty ones; a heading belongs to what follows."""
    spans: list[Span] = []
    start: int | None = None
    heading_only = True
    for line in lines:
        if not line.text.strip():
            if start is not None and not heading_only:
                spans.append((start, line.start))
                start, heading_only = None, True
            continue
        if start is None:
            start = line.start
        heading_only = heading_only and _HEADING.match(line.text) is not None
    if start is not None:
        spans.append((start, lines[-1].end))
    return spans


def _one_block(text: str, lines: Sequence[_Line]) -> list[Span]:
    """A trace that is one paragraph: its numbers if it has them, its lines if those are sentences, else sentences."""
    whole = (lines[0].start, lines[-1].end)
    if len(lines) > 1:
        ended = sum(
            line.text.rstrip().endswith(("。", "！", "？", "；", ".", "!", "?", ";", ":", "：")) for line in lines
        )
        if ended * 3 >= len(lines) * 2:
            return [(line.start, line.end) for line in lines]
    cuts = _inline_numbers(text, *whole)
    return _between(cuts, *whole) if cuts else _sentence_groups(text, *whole)


def _inline_numbers(text: str, start: int, end: int) -> list[int]:
    """Where 1. … 2. … 3. … begin within a line; [] where there are fewer than two in their order."""
    cuts: list[int] = []
    for match in _INLINE.finditer(text, start, end):
        if int(match["n"]) == len(cuts) + 1:
            cuts.append(match.start())
    return cuts if len(cuts) > 1 else []


def _sentence_groups(text: str, start: int, end: int) -> list[Span]:
    """Sentences, short ones together; one that opens a new thought (therefore, 其次) begins a step."""
    cuts: list[int] = []
    begin = at = start
    for sentence_end in _sentence_ends(text, start, end):
        if at > begin and (_cells(text[begin:at]) >= _GROUP or _OPENS.match(text, at)):
            cuts.append(at)
            begin = at
        at = sentence_end
    if at > begin and at < end and (_cells(text[begin:at]) >= _GROUP or _OPENS.match(text, at)):
        cuts.append(at)
    return _between(cuts, start, end)


def _sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    for match in _SENTENCE_END.finditer(text, start, end):
        if text[match.start()] == "." and _ABBREVIATED.search(text, max(start, match.start() - 8), match.start()):
            continue
        yield match.end()


def _between(cuts: Sequence[int], start: int, end: int) -> list[Span]:
    edges = [start, *(cut for cut in cuts if start < cut < end), end]
    return list(pairwise(edges))


def _cells(text: str) -> int:
    return sum(2 if char >= "\u2e80" else 1 for char in text)


def _trimmed(text: str, spans: Sequence[Span]) -> Iterator[Span]:
    """Without blanks at both ends; a span without a letter or digit (a rule, a lone bullet) is no step."""
    for start, end in spans:
        piece = text[start:end]
        if any(map(str.isalnum, piece)):
            yield start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
