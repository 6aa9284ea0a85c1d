"""The full name behind a bare abbreviation: LVH → LVH〔左心室肥厚〕, at its first use, where it is not told already.

The list is ``data/abbreviations.toml``. What is found is only where a name goes; the text itself stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.findings import Language
from medgemma_tui.clinical.textform import fold

# A word of letters and digits, with what joins it: NT-proBNP is one, and LVH is not in anti-LVH or LVH2.
_WORD: Final = re.compile(r"[^\W_](?:[-_]?[^\W_])*")
_WIDE: Final = re.compile(r"[\u2e80-\U0003ffff]")
_LATIN: Final = re.compile(r"[\u2e80-\U0003ffff]+|-(?=[\u2e80-\U0003ffff]|$)")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_QUOTED: Final = re.compile(r"`[^`\n]+`")
_PLACE: Final = re.compile(r"(?:https?://|www\.)[^\s\u2e80-\U0003ffff]+")
_NARROW: Final = {0xFF01 + offset: 0x21 + offset for offset in range(94)}
_OPENING: Final = "([【〔"
_CLOSING: Final = re.compile(r"[)\]】〕\n]")
_BESIDE: Final = 24
"""How far from the abbreviation, in characters, its full name still stands beside it."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """A bare abbreviation that ends at ``end`` and the full name to show behind it."""

    end: int
    abbreviation: str
    full: str


@dataclass(frozen=True, slots=True)
class _Name:
    zh: str
    en: str
    forms: tuple[str, ...]
    """Every form of the full name, folded."""


def expansions(text: str, lang: Language) -> tuple[Expansion, ...]:
    """Where a full name is to be shown, from left to right, each abbreviation once. Raises TableError.

    Nothing for an abbreviation whose first use has its full name beside it (左心室肥厚（LVH）, LVH (left ventricular
    hypertrophy), LVH〔…〕), in code or in an address. Denied ones (无LVH) are expanded, too: a name is no claim.
    Takes 3 ms at most for 4,000 characters.
    """
    names = _names()
    text = _narrow(text)
    hidden, at = sorted(_hidden(text)), 0
    seen: set[str] = set()
    made = []
    folded = ""
    for start, end in _words(text):
        short = text[start:end]
        name = names.get(short)
        while at < len(hidden) and hidden[at][1] <= start:
            at += 1
        if name is None or short in seen or (at < len(hidden) and hidden[at][0] <= start):
            continue
        seen.add(short)
        folded = folded or fold(text)
        if not _told(folded, start, end, short, name):
            made.append(Expansion(end, short, name.zh if lang == "zh" else name.en))
    return tuple(made)


def _hidden(text: str) -> list[tuple[int, int]]:
    """Code, between fences or quotes, and addresses."""
    found = [each.span() for pattern in (_QUOTED, _PLACE) for each in pattern.finditer(text)]
    at, fence, opened = 0, "", 0
    for line in text.splitlines(keepends=True):
        sign = _FENCE.match(line)
        if sign and not fence:
            fence, opened = sign[1], at
        elif sign and sign[1].startswith(fence):
            found.append((opened, at + len(line)))
            fence = ""
        at += len(line)
    return [*found, (opened, at)] if fence else found


def _words(text: str) -> list[tuple[int, int]]:
    """The words in letters: Chinese signs divide them (LVH患者), hyphens do not."""
    found = []
    for run in _WORD.finditer(text):
        at = run.start()
        for gap in _LATIN.finditer(text, at, run.end()):
            if gap.start() > at:
                found.append((at, gap.start()))
            at = gap.end()
        if at < run.end():
            found.append((at, run.end()))
    return found


def _told(folded: str, start: int, end: int, short: str, name: _Name) -> bool:
    longest = max(map(len, name.forms)) + _BESIDE
    near = folded[max(0, start - longest) : start] + "\n" + folded[end : end + longest]
    if any(form in near for form in name.forms):
        return True
    before, after = folded[:start][-2:].rstrip(), folded[end : end + 80].lstrip(" ")
    if before.endswith(("(", "[", "【", "〔")) and after[:1] in (")", "]", "】", "〕", ",", ";") and start >= 2:
        return folded[start - 2].isalnum() or folded[start - 2] == " "  # 左室壁增厚（LVH）: it was defined there
    if after[:1] == "〔":
        return True
    if after[:1] and after[0] in _OPENING:
        inside = _CLOSING.split(after[1:], maxsplit=1)[0].strip()
        return _spells(inside, short)
    return False


def _spells(inside: str, short: str) -> bool:
    """Whether what stands in brackets behind an abbreviation is a full name: its words begin with the letters."""
    letters = [char for char in short.lower() if char.isalpha()]
    words = re.findall(r"[a-z]+", inside)
    initials = [word[0] for word in words]
    if len(words) > 1 and letters:
        at = 0
        for initial in initials:
            if at < len(letters) and initial == letters[at]:
                at += 1
        return at >= min(len(letters), len(words)) and at >= 2
    return len(inside) >= 3 and all(_WIDE.match(char) for char in inside)


def _narrow(text: str) -> str:
    """Full-width letters and signs as ASCII, in their case and each for one."""
    if text.isascii():
        return text
    return text.translate(_NARROW)


@tables.compiled
def _names() -> dict[str, _Name]:
    found: dict[str, _Name] = {}
    for row in tables.rows("abbreviations", "abbreviation"):
        short, zh, en, also = row.get("short"), row.get("zh"), row.get("en"), row.get("also", [])
        texts = [short, zh, en]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise tables.TableError("abbreviations.toml", f"an abbreviation needs short, zh and en: {short!r}")
        if not isinstance(also, list) or not all(isinstance(form, str) and form.strip() for form in also):
            raise tables.TableError("abbreviations.toml", f"{short}: also must be a list of texts")
        forms = tuple(fold(str(form)) for form in (zh, en, *also))
        found[str(short).strip()] = _Name(str(zh).strip(), str(en).strip(), forms)
    return found
