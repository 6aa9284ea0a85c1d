"""Allergies, said or denied: 青霉素过敏, 无药物过敏史, NKDA, allergic to penicillin."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medgemma_tui.clinical.entities.lists import lists
from medgemma_tui.clinical.entities.scan import Scan
from medgemma_tui.clinical.findings import Entity

_ZH = re.compile(
    r"过敏(?!性|原|科|反应性|体质|源|症|季|指数|试验)(?P<tail>反应)?(?P<history>史)?(?:\s?[:]?\s?(?P<no>无|否认|阴性|没有|不详|\(-\)))?"
)
_DENIED = re.compile(
    r"(?:无|否认|未诉|没有|不存在|未发现|未见)(?:明确|明显|已知|任何|特殊)?(?:的)?(?P<what>[^无否。;,\n]{0,24})$"
)
_EN = re.compile(
    r"(?<![a-z])(?:(?P<nkda>nkda|nka)|"
    r"(?P<none>no (?:known |history of )?(?:(?P<kind>drug|food|antibiotic|medication) )?allerg(?:ies|y)|"
    r"den(?:ies|ied|ying) (?:any )?(?:(?P<kind2>drug|food|antibiotic|medication) )?allerg(?:ies|y))|"
    r"(?P<not>not |no )?allergic to (?P<a>[a-z][a-z-]{2,24})|"
    r"allerg(?:y|ies)(?: to|:) ?(?P<b>[a-z][a-z-]{2,24})|(?P<c>[a-z][a-z-]{3,24})[ -]allerg(?:y|ic))(?![a-z])"
)
_NO_EN = re.compile(r"(?:no|not|denies|denied|without|negative for)\s(?:known\s|any\s|(?:a\s)?history of\s|an?\s)?$")
_ASKED = re.compile(
    r"(?:核对|询问|了解|明确|有无|是否|注意|追问|(?:check|ask about|any|if|whether|exclude)\s)(?:有|对|for\s|an?\s)?$"
)
_LONGEST = 8
_NO_WORDS = frozenset({"none", "nil", "nkda", "no", "denies", "unknown", "drug", "drugs", "food"})
_NO_ALLERGEN = frozenset({"seasonal", "known", "history", "severe", "with", "possible", "suspected", "immune", "non"})


def find_allergies(scan: Scan) -> Iterator[Entity]:
    """Allergies; ``name`` is the drug's id, a group (drug, food, antibiotic), or empty; ``negated`` where denied."""
    if "过敏" in scan.folded:
        drugs = _drugs(scan)
        for match in _ZH.finditer(scan.folded):
            yield from _chinese(scan, match, drugs)
    if "allerg" in scan.folded or "nka" in scan.folded or "nkda" in scan.folded:
        drugs = _drugs(scan)
        for match in _EN.finditer(scan.folded):
            yield from _english(scan, match, drugs)


def _drugs(scan: Scan) -> dict[int, tuple[int, str]]:
    """The drug that ends (and, negative, the one that starts) at each place."""
    found: dict[int, tuple[int, str]] = {}
    for hit in scan.hits:
        drug = hit.meaning.drug
        if drug is not None:
            found[hit.end] = (hit.start, drug.id)
            found[-hit.start - 1] = (hit.end, drug.id)
    return found


def _chinese(scan: Scan, match: re.Match[str], drugs: dict[int, tuple[int, str]]) -> Iterator[Entity]:
    folded, start, end = scan.folded, match.start(), match.end()
    if folded[max(0, start - 1) : start] in ("抗", "脱", "致", "易"):
        return
    names: list[tuple[int, str]] = []
    never = start > 0 and folded[start - 1] == "不"  # 对青霉素不过敏
    if never:
        start -= 1
    at = start
    for suffix in ("类药物", "类", "药物"):
        if folded.endswith(suffix, 0, at) and at - len(suffix) in drugs:
            at -= len(suffix)
    while at in drugs:  # 青霉素、头孢过敏: every drug of the list
        at, name = drugs[at]
        names.insert(0, (at, name))
        while at and folded[at - 1] in "、,/和及与或 " and (at - 1) in drugs:
            at -= 1
        if at and folded[at - 1] in "、/和及与或" and at - 1 not in drugs:
            break
    if not names:
        allergens = lists().allergens
        for length in range(min(_LONGEST, start), 0, -1):
            group = allergens.get(folded[start - length : start])
            if group:
                names = [(start - length, group)]
                break
    if _ASKED.search(folded, max(0, (names[0][0] if names else start) - 16), names[0][0] if names else start):
        return
    denied = _DENIED.search(folded, max(0, start - 32), start)
    if denied and "过敏" in denied["what"]:
        denied = None  # it denied the one before
    if denied and names and names[0][1] == "food" and "药" in denied["what"]:
        names = [(names[0][0], "drug")]  # 否认药物食物过敏史
    negated = never or (match["no"] is not None and match["no"] != "不详") or denied is not None
    if match["no"] == "不详":
        return
    first = denied.start() if denied else (names[0][0] if names else start)
    if folded[max(0, first - 1) : first] == "对":
        first -= 1
    if not names and not match["history"] and not negated:
        return  # 过敏 alone: a complaint or a question, no history
    if not names and match["history"] and not negated:
        return
    span = (first, end)
    yield Entity("allergy", scan.text[first:end], span, names[0][1] if names else "", negated=negated)
    if len(names) > 1 and not negated:
        return


def _english(scan: Scan, match: re.Match[str], drugs: dict[int, tuple[int, str]]) -> Iterator[Entity]:
    start, end = match.span()
    text = scan.text[start:end]
    if match["nkda"]:
        yield Entity("allergy", text, (start, end), "drug" if match["nkda"] == "nkda" else "", negated=True)
        return
    if match["none"]:
        kind = match["kind"] or match["kind2"] or ""
        yield Entity("allergy", text, (start, end), lists().allergens.get(kind, ""), negated=True)
        return
    group = "a" if match["a"] else "b" if match["b"] else "c"
    word, place = match[group], match.start(group)
    if group == "c" and (word in _NO_ALLERGEN or _ASKED.search(scan.folded, max(0, start - 16), start)):
        return
    if word in _NO_WORDS and group == "b":
        yield Entity("allergy", text, (start, end), "", negated=word != "unknown")
        return
    listed = drugs.get(-place - 1) or drugs.get(match.end(group))
    name = listed[1] if listed else lists().allergens.get(word, "")
    if group == "c" and not name:
        return
    negated = bool(match["not"]) or _NO_EN.search(scan.folded, max(0, start - 24), start) is not None
    if listed and group != "c" and drugs.get(-place - 1):
        end = max(end, listed[0])
    yield Entity("allergy", scan.text[start:end], (start, end), name, negated=negated)
