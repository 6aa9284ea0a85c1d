"""Markdown to lines of inks: what a model writes, laid out for a width, and nothing of it lost.

HTML, autolinks, setext headings, indented code and quotations are off, so that ``<dose>``, ``INR<target>``, a line of
dashes and ``> 60 mL/min`` stay what they look like; a single newline is a line break; links and images are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.tree import SyntaxTreeNode

from medgemma_tui.safetext import clean, clean_line
from medgemma_tui.tui.full_names import NONE, Names
from medgemma_tui.tui.ink import TEXT, Ink, Line
from medgemma_tui.tui.profile import Glyphs
from medgemma_tui.tui.tables import table
from medgemma_tui.tui.wrap import cells, wrap

_OFF = ["html_block", "html_inline", "autolink", "lheading", "code", "reference", "blockquote"]
# a last line that may yet become something else is not shown until it has
_UNDECIDED = re.compile(r"(?:^|\n)[ \t]*(?:[-*+]|#{1,6}|\d{1,3}[.)]|`{1,2}|\*{2,3}|-{2,}|\|[-: |]*)[ \t]*$")
_POWER = re.compile(r"(?<=[0-9])\*\*(?=[0-9])")  # 10**9
_SPANS = re.compile(rf"`+|(?!{_POWER.pattern})\*\*")
# stars and tildes with a Latin letter or a digit on either side: HLA-B*57:01, 10**9, 3~~5
_IN_A_WORD = re.compile(r"(?<=[A-Za-z0-9])(\*{1,2}|~~)(?=[A-Za-z0-9])")


def render(
    text: str, width: int, glyphs: Glyphs, base: Ink = TEXT, *, live: bool = False, names: Names = NONE
) -> list[Line]:
    """The lines of some Markdown, none wider than ``width`` cells.

    ``base`` is the ink of plain text. ``live``: the text is still growing, so what is open at its end is closed for
    the eye and an undecided marker is held back. ``names`` are put behind their abbreviations, but not in code.
    """
    if live:
        text = _settled(text)
    tree = SyntaxTreeNode(_parser().parse(text))
    return _Layout(glyphs, base, names).blocks(tree.children, max(2, width))


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable(_OFF)
    parser.inline.ruler.before("strikethrough", "strong", _strong)
    parser.inline.ruler.after("strong", "in_a_word", _in_a_word)
    return parser


def _strong(state: StateInline, silent: bool) -> bool:
    """``**诊断：**糖尿病``: CommonMark ends no bold between punctuation and Chinese; here the next mark does."""
    start = state.pos + 2
    if not state.src.startswith("**", state.pos) or _POWER.match(state.src, state.pos):
        return False
    end = state.src.find("**", start, state.posMax)
    inner = state.src[start:end]
    if end < 0 or not inner or inner != inner.strip() or _IN_A_WORD.match(state.src, end):
        return False
    if "*" in _IN_A_WORD.sub("", inner) or inner.count("`") % 2 or inner.endswith("\\"):
        return False  # nested or unclear: as CommonMark has it
    if not silent:
        limit = state.posMax
        state.pos, state.posMax = start, end
        state.push("strong_open", "strong", 1).markup = "**"
        state.md.inline.tokenize(state)
        state.push("strong_close", "strong", -1).markup = "**"
        state.posMax = limit
    state.pos = end + 2
    return True


def _in_a_word(state: StateInline, silent: bool) -> bool:
    """``2*3*4``, ``HLA-B*57:01``: a mark inside a word or a figure is a letter like any other."""
    found = _IN_A_WORD.match(state.src, state.pos)
    if found is None or found.end() > state.posMax:
        return False
    if not silent:
        state.pending += found[0]
    state.pos = found.end()
    return True


def _settled(text: str) -> str:
    """Growing text without an undecided last marker, and with open code and bold closed."""
    text = _UNDECIDED.sub("", text)
    if text.startswith(("```", "~~~")):
        return text
    if text.endswith("*") and not text.endswith("**"):
        text = text[:-1]
    last = text.rpartition("\n\n")[2].rpartition("\n")[2]
    code, bold = "", False
    for match in _SPANS.finditer(last):
        mark = match[0]
        if mark == "**":
            bold ^= not code
        elif not code:
            code = mark
        elif code == mark:
            code = ""
    for mark in (code, "**" if bold else ""):
        if mark and len(mark) < 3:
            text = text.rstrip(" ")
            # opened, with nothing in it yet: not shown; else closed
            text = text.removesuffix(mark) if text.endswith(mark) else text + mark
    return text


class _Layout:
    """Lays a syntax tree out."""

    def __init__(self, glyphs: Glyphs, base: Ink, names: Names) -> None:
        self._glyphs = glyphs
        self._names = names
        self._named: set[str] = set()
        self._base = base
        self._quiet = base._replace(role="muted")

    def blocks(self, nodes: list[SyntaxTreeNode], width: int, *, tight: bool = False, depth: int = 0) -> list[Line]:
        """Blocks one under the other, an empty line between them unless ``tight``."""
        lines: list[Line] = []
        previous = ""
        for node in nodes:
            joined = previous == "heading" or (previous == "paragraph" and node.type.endswith("_list"))
            if lines and not tight and not joined:
                lines.append([])
            lines.extend(self._block(node, width, depth))
            previous = node.type
        return lines

    def _block(self, node: SyntaxTreeNode, width: int, depth: int) -> list[Line]:
        kind = node.type
        if kind == "heading":
            ink = self._base._replace(role="heading", bold=True)
            return wrap(self._inline(node, ink), width)
        if kind in ("bullet_list", "ordered_list"):
            return self._list(node, width, depth)
        if kind in ("fence", "code_block"):
            ink = self._base._replace(role="code")
            code: Line = [(self._glyphs.shown(clean(node.content)).rstrip("\n"), ink)]
            return self._prefixed(lambda inner: wrap(code, inner), width, " ")
        if kind == "hr":
            return [[(self._glyphs.rule * min(width, 24), self._quiet)]]
        if kind == "table":
            return self._table(node, width)
        return wrap(self._inline(node, self._base), width)

    def _prefixed(self, lay: Callable[[int], list[Line]], width: int, mark: str) -> list[Line]:
        """Lines with a mark before each, where there is room for one."""
        if width < 6:
            return lay(width)
        return [[(f"{mark} ", self._quiet), *line] for line in lay(width - 2)]

    def _list(self, node: SyntaxTreeNode, width: int, depth: int) -> list[Line]:
        lines: list[Line] = []
        for item in node.children:
            if node.type == "ordered_list":
                mark = f"{item.info}{item.markup} "  # the number that the model wrote
            else:
                bullets = self._glyphs.bullets
                mark = f"{bullets[depth % len(bullets)]} "
            indent = cells(mark)
            if width - indent < 8:  # too narrow to hang
                indent = 0
            tight = all(child.hidden for child in item.children if child.type == "paragraph")
            body = self.blocks(item.children, width - indent if indent else width, tight=tight, depth=depth + 1) or [[]]
            if indent:
                lines.append([(mark, self._quiet), *body[0]])
                lines.extend([(" " * indent, self._base), *line] if line else [] for line in body[1:])
            else:
                lines.extend(wrap([(mark, self._quiet), *body[0]], width))
                lines.extend(body[1:])
        return lines

    def _table(self, node: SyntaxTreeNode, width: int) -> list[Line]:
        rows: list[list[Line]] = []
        aligns: list[str] = []
        for part in node.children:
            for row in part.children:
                head = part.type == "thead"
                ink = self._base._replace(bold=True) if head else self._base
                rows.append([self._inline(cell, ink) for cell in row.children])
                if head:
                    aligns = [str(cell.attrs.get("style", "")).removeprefix("text-align:") for cell in row.children]
        return table(rows, aligns, width, self._glyphs, self._quiet)

    def _inline(self, node: SyntaxTreeNode, ink: Ink) -> Line:
        """The runs of a block's inline content."""
        line: Line = []
        for child in node.children:
            if child.type == "inline":
                self._spans(child.children, ink, line)
        return self._names.add(line, self._named, self._glyphs)

    def _spans(self, nodes: list[SyntaxTreeNode], ink: Ink, line: Line) -> None:
        for node in nodes:
            kind = node.type
            if kind in ("text", "text_special", "html_inline"):
                if node.content:
                    line.append((self._shown(node.content), ink))
            elif kind in ("softbreak", "hardbreak"):
                line.append(("\n", ink))
            elif kind == "code_inline":
                line.append((self._shown(node.content), ink._replace(role="code")))
            elif kind == "strong":
                self._spans(node.children, ink._replace(bold=True), line)
            elif kind == "em":
                self._spans(node.children, ink._replace(italic=True), line)
            elif kind == "s":
                self._spans(node.children, ink._replace(strike=True), line)
            elif kind == "link":
                self._link(node, ink, line)
            elif kind == "image":
                text = self._shown(node.content or str(node.attrs.get("src", "")))
                line.append((text, ink._replace(role="link")))
            elif node.children:
                self._spans(node.children, ink, line)

    def _shown(self, text: str) -> str:
        return self._glyphs.shown(clean_line(text))

    def _link(self, node: SyntaxTreeNode, ink: Ink, line: Line) -> None:
        """The link's words, and where it would lead in brackets; nothing can be clicked."""
        words: Line = []
        self._spans(node.children, ink._replace(role="link"), words)
        line.extend(words)
        target = self._shown(str(node.attrs.get("href", "")))
        if target and target != "".join(text for text, _ink in words):
            line.append((f" ({target})", self._quiet))
