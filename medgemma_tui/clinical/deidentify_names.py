"""Names of people behind their labels: Chinese names by their shape (surname, given name, what may follow), others by
their capital letters. The lists are in ``data/identifiers.toml``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.entities import find_entities
from medgemma_tui.clinical.findings import Span
from medgemma_tui.clinical.rowfields import LazyPattern, text_of, texts_of
from medgemma_tui.clinical.terms import find_terms

LISTS = "identifiers"
NameMode = Literal["name", "person", "staff"]
"""What a label says: behind it is a name; someone is spoken of; a clinician, named only behind a colon."""
_CONTEXT = 8  # signs behind a name in which an expression that it begins may end
HAN = "\u3400-\u4dbf\u4e00-\u9fff〇"

_OPENING = re.compile(
    r"[ \t]*(?:\([a-z' ]{1,16}\)|/ ?name)?(?:[ \t]*(?P<verb>为|是|叫|is|called)(?![a-z])[ \t]*)?"
    r"(?P<colon>[:=】]?)[ \t]*[(\"'《<「]?[ \t]*"
)
_NEXT_CELL = re.compile(r"[ \t]*\n[ \t]*")
_DOTTED = LazyPattern(rf"[{HAN}]{{1,10}}(?:[·•・‧∙⋅][{HAN}]{{1,10}}){{1,4}}")  # ethnic-minority names
_SPACED = LazyPattern(rf"([{HAN}]) {{1,2}}([{HAN}])(?![{HAN}])")  # 张　三, as forms have it
_RUN = LazyPattern(rf"[{HAN}]{{1,16}}")
_BREAK = re.compile(r"$|[\s,.。;:、()!?\"'\]}/|<>》」\[+&\-]|[0-9]")
_SEX_THEN_AGE = re.compile(r"[男女](?=[,、 ]{0,2}\d{1,3} ?岁|[性,、 ]|$)")
_WHO_THEN = re.compile(r"[,、 (:]{0,3}(?:[男女]|性别|\d{1,3} ?岁|先生|女士)|因|于(?:\d|今[晨日天早]|昨)")
_OPENS_LINE = re.compile(r"(?:^|(?<=[\n。;]))[ \t]*(?=[a-z\u3400-\u9fff])")
_SEX_BEHIND = re.compile(r"[,、 (]{1,3}(?:[男女]性?[,。、 )\d]|[男女]性?$|\d{1,3} ?岁)")
_LATIN_SEX_BEHIND = re.compile(
    r",? \(?(?:is an? \d{1,3}"
    r"|(?:an? |aged )?\d{1,3}(?:[, ]*(?:m|f|y|yo|y/o|yrs?|years?|male|female)(?![a-z])|[- ]year)"
    r"|(?:dob|d\.o\.b\.|born|date of birth|mrn|nhs n)(?![a-z]))"
)
_SEX_AND_AGE = re.compile(r"[男女]性?[,、 ]{0,3}\d{1,3} ?(?:岁|y)")
_BEFORE_NAME = frozenset("是叫为者人诉")
_BED = re.compile(r"床[ ,、:]{0,2}")
_WORD = r"[A-Z][A-Za-z\u00c0-\u024f]{0,24}(?:['’\-][A-Za-z\u00c0-\u024f]{1,24}){0,2}"
_AGE_AFTER_LATIN = re.compile(
    r"[,( /]{0,3}(?:\d|(?:m|f|male|female|man|woman|aged?|dob|mrn|tel|phone|mobile)(?![a-z])|[男女])"
)
_IN_DOTTED_NAMES = frozenset("尔克买提不里木自热西衣合汗吐再也祖次多")  # in Uyghur, Kazakh and Tibetan names
_LOWER = re.compile(r"[a-z]{2,20}(?:['’\-][a-z]{1,20})?(?: [a-z]{2,20}){0,2}")
_AFTER_LATIN = re.compile(
    r"[ \t]*(?:$|[,;.()\n/|\d\"、。]|[\u3400-\u9fff]"
    r"|(?:is|was|has|had|aged?|presents|presented|presenting|reports|complains|came|who|with|m|f|male|female|man|woman|dob|mrn|tel|phone|sex|gender)(?![a-z]))"
)


@dataclass(frozen=True, slots=True)
class _Lists:
    surnames: frozenset[str]
    risky: frozenset[str]
    compound: tuple[str, ...]
    never: frozenset[str]
    never_last: frozenset[str]
    common: frozenset[str]
    not_names: re.Pattern[str]
    followed: re.Pattern[str]
    unknown: re.Pattern[str]
    relation: re.Pattern[str]
    field: re.Pattern[str]
    titled: re.Pattern[str]
    titles: frozenset[str]
    han_title: re.Pattern[str]
    kin_titles: frozenset[str]
    latin: re.Pattern[str]
    latin_title: re.Pattern[str]
    spoken_of: re.Pattern[str]
    latin_never: frozenset[str]
    latin_too: frozenset[str]
    latin_things: re.Pattern[str]
    latin_beside: frozenset[str]
    latin_unknown: frozenset[str]


def any_of(words: list[str]) -> str:
    """A regular expression that matches any of these, the longest first; nothing at all where there are none."""
    return "|".join(map(re.escape, sorted(set(words), key=len, reverse=True))) or r"(?!)"


def gather(table: str, key: str) -> list[str]:
    """The texts that the rows of a table list under ``key``."""
    return [text for row in tables.rows(LISTS, table) for text in texts_of(LISTS, row, key)]


def _signs(table: str, key: str) -> frozenset[str]:
    return frozenset("".join("".join(text_of(LISTS, row, key, "").split()) for row in tables.rows(LISTS, table)))


@tables.compiled
def _lists() -> _Lists:
    english = "english_names"
    kin_titles = gather("given_names", "kin_titles")
    titles = any_of(gather(english, "titles"))
    every_title = any_of(gather(english, "titles") + gather(english, "staff_titles"))
    particles = any_of(gather(english, "particles"))
    word = rf"(?:[A-Z]\.|{_WORD})"
    further = rf"(?:[ ]{{1,2}}(?:(?:{particles})[ ]){{0,2}}{word})"
    given = rf"(?:,[ ]{{1,2}}(?:(?=[A-Z][A-Za-z]){_WORD}|[A-Z](?:\.|(?![A-Za-z0-9]))))?"  # SMITH, John; Roe, J.
    latin = rf"(?:(?:{every_title})\b\.?[ ]{{1,2}})?(?P<name>{word}{given}{further}{{0,3}})"
    never = " ".join(text_of(LISTS, row, "never", "") for row in tables.rows(LISTS, english))
    beside = " ".join(text_of(LISTS, row, "never_beside", "") for row in tables.rows(LISTS, english))
    return _Lists(
        surnames=_signs("surnames", "single"),
        risky=_signs("surnames", "risky"),
        compound=tuple(gather("surnames", "compound")),
        never=_signs("given_names", "never"),
        never_last=_signs("given_names", "never_last"),
        common=_signs("given_names", "common"),
        not_names=re.compile(any_of(gather("given_names", "not_names"))),
        followed=re.compile(any_of(gather("given_names", "followed_by"))),
        unknown=re.compile(any_of(gather("given_names", "unknown"))),
        relation=re.compile(rf"(?:{any_of(gather('given_names', 'relations'))})[ \t:,]{{0,2}}"),
        field=re.compile(any_of(gather("given_names", "next_fields"))),
        titles=frozenset(gather("given_names", "titles") + kin_titles),
        titled=re.compile(rf"[{HAN}]{{1,4}}?(?={any_of(gather('given_names', 'titles'))})"),
        han_title=re.compile(any_of(gather("given_names", "titles") + kin_titles)),
        kin_titles=frozenset(kin_titles),
        latin=re.compile(latin),
        latin_title=re.compile(rf"(?<![A-Za-z])(?:{titles})\b\.?[ ]{{1,2}}(?=[A-Z])"),
        spoken_of=re.compile(rf"(?:{any_of(gather(english, 'spoken_of'))}) (?=[a-z])"),
        latin_never=frozenset(never.split()),
        latin_too=frozenset(gather(english, "surnames_too")),
        latin_things=re.compile(rf"(?:['’]?s)? (?:{any_of(gather(english, 'named_after'))}|\d)"),
        latin_beside=frozenset(beside.split()),
        latin_unknown=frozenset(gather(english, "unknown")),
    )


def name_behind(
    folded: str, cased: str, at: int, mode: NameMode, shouted: bool, verdicts: dict[str, bool]
) -> Span | None:
    """The name behind a label that ends at ``at``, or None where there is none.

    ``cased`` is the folded text with its capital letters kept; ``shouted``: the label is in capitals, so that capitals
    say nothing about what follows it. ``verdicts`` keeps, for one text, which expressions were found to be clinical.
    """
    opening = _OPENING.match(folded, at)
    assert opening is not None  # every part of it may be empty
    start, colon = opening.end(), bool(opening["colon"])
    if mode == "name" and not colon and (cell := _NEXT_CELL.match(folded, at)):
        start = cell.end()
    if mode == "staff" and not colon:
        return None
    if (relation := _lists().relation.match(folded, start)) and mode == "name":
        found = _chinese(folded, cased, relation.end(), strict=True)
        if found:
            return found
    # what stands behind the colon of a name's label is a name; anything else must look like one
    sure = mode == "name" and colon
    found = _chinese(folded, cased, start, strict=not sure) or _latin(
        folded, cased, start, mode, colon or bool(opening["verb"]), shouted
    )
    if found is None or (sure and cased[found[0]] >= "\u3400"):
        return found  # but Name: Aspirin
    return None if _is_clinical(cased, found, verdicts) else found


def name_in_cell(folded: str, cased: str, start: int, end: int) -> Span | None:
    """The name in a cell under a heading for names, or None where it holds something else."""
    lists = _lists()
    text = folded[start:end]
    if lists.unknown.match(text) or (len(text) > 1 and text[1] == "某"):
        return None
    if re.fullmatch(rf"[{HAN}·•・‧∙⋅ ]{{2,16}}", cased[start:end]):
        return start, end
    name = lists.latin.match(cased, start, end)
    return _without_words(folded, name, strong=True, sure=True) if name else None


def _is_clinical(cased: str, span: Span, verdicts: dict[str, bool]) -> bool:
    """Whether what looks like a name begins with a clinical expression: 白蛋白, Heart Failure."""
    start, end = span
    expression = cased[start : end + _CONTEXT]
    if expression not in verdicts:
        verdicts[expression] = any(entity.span[0] == 0 for entity in find_entities(expression))
    return verdicts[expression]


def names_before_sex(folded: str, cased: str, verdicts: dict[str, bool]) -> list[Span]:
    """Names that open a line and have the sex or the age behind them: 张三，男，62岁; John Smith is a 62-year-old.

    Also behind a bed's number (12床张三), and behind English words of seeing someone (I reviewed Sarah Connor, 54F).
    """
    lists, found = _lists(), []
    for opening in _OPENS_LINE.finditer(folded):
        start = opening.end()
        if folded[start : start + 1] < "\u3400":
            found += _latin_before_sex(folded, cased, start)
        elif (length := _shaped_at(folded, start)) and _SEX_BEHIND.match(folded, start + length):
            found.append((start, start + length))
    for seen in lists.spoken_of.finditer(folded):
        if cased[seen.end()].isupper() and not folded[seen.start() - 1 : seen.start()].isalpha():
            found += _latin_before_sex(folded, cased, seen.end())
    for told in _SEX_AND_AGE.finditer(folded):
        before = folded[max(0, told.start() - 3) : told.start()]
        if divided := len(before) - len(before.rstrip(",、 (")):
            found += _han_name_up_to(folded, told.start() - divided)
    for bed in _BED.finditer(folded):
        if folded[bed.start() - 1 : bed.start()].isdigit() and (length := _shaped_at(folded, bed.end())):
            found.append((bed.end(), bed.end() + length))
    return [span for span in found if not _is_clinical(cased, span, verdicts)]


def _shaped_at(folded: str, start: int) -> int:
    run = _RUN.match(folded, start)
    return _shaped(folded, start, run.group()) if run else 0


def _han_name_up_to(folded: str, end: int) -> list[Span]:
    """The name that ends at ``end`` where nothing but it, or a word such as 是, stands between it and the last sign."""
    for length in (4, 3, 2):
        start = end - length
        before = folded[start - 1 : start] if start > 0 else ""
        if start < 0 or (re.match(f"[{HAN}]", before) and before not in _BEFORE_NAME):
            continue
        if _shaped(folded, start, folded[start:end]) == length:
            return [(start, end)]
    return []


def _latin_before_sex(folded: str, cased: str, start: int) -> list[Span]:
    name = _lists().latin.match(cased, start)
    span = _without_words(folded, name, strong=False) if name else None
    if span is None or not _LATIN_SEX_BEHIND.match(folded, span[1]):
        return []
    text = cased[slice(*span)]
    clinical = _lists().latin_beside.intersection(text.lower().split()) or find_terms(text)  # Bell Palsy, 30F
    return [span] if re.search("[a-z]", text) and not clinical else []


def titled_names(folded: str, cased: str) -> list[Span]:
    """Names with a title and no label: Mr Smith, 王先生. The title stays, since it tells the sex."""
    lists, found = _lists(), []
    for title in lists.latin_title.finditer(cased):
        name = lists.latin.match(cased, title.end())
        if name and (span := _without_words(folded, name, strong=True, sure=True)):
            found.append(span)
    for han_title in lists.han_title.finditer(folded):
        for length in (3, 2, 1):
            start = han_title.start() - length
            before = folded[start - 1 : start] if start > 0 else ""
            if start < 0 or (before and re.match(rf"[{HAN}]", before) and before not in "者人是谢的由，属约"):
                continue
            written = folded[start : han_title.start()]
            if written[0] in lists.risky and han_title.group() in lists.kin_titles:
                continue  # 和奶奶同住
            if _surname_length(written) and not lists.not_names.match(written) and not set(written[1:]) & lists.never:
                found.append((start, han_title.start()))
                break
    return found


def _surname_length(text: str) -> int:
    lists = _lists()
    if text[:2] in lists.compound:
        return 2
    return 1 if text[:1] in lists.surnames else 0


def _chinese(folded: str, cased: str, start: int, strict: bool) -> Span | None:
    lists = _lists()
    dotted = _DOTTED.match(cased, start)
    if dotted and not (strict and set(dotted.group()) & (lists.never - _IN_DOTTED_NAMES)):
        return dotted.span()
    if strict and folded.startswith(",", start):  # 患者，张三，男
        start += 1
        run = _RUN.match(folded, start)
        length = _shaped(folded, start, run.group()) if run else 0
        return (start, start + length) if length and _SEX_BEHIND.match(folded, start + length) else None
    spaced = _SPACED.match(folded, start)
    if spaced and _surname_length(spaced[1]) and spaced[2] not in lists.never:
        return spaced.span()
    run = _RUN.match(folded, start)
    if run is None:
        return None
    text = run.group()
    if lists.unknown.match(text) or lists.relation.fullmatch(text) or (len(text) > 1 and text[1] == "某"):
        return None
    if not strict:
        return _free(folded, start, text)
    if title := lists.titled.match(folded, start):
        family = title.group()
        if _surname_length(family) and not set(family[1:]) & lists.never:
            return title.span()
    shaped = _shaped(folded, start, text)
    return (start, start + shaped) if shaped else None


def _free(folded: str, start: int, text: str) -> Span | None:
    """What stands behind the colon of a name's label: all of it, up to the next field or to the sex before an age."""
    lists = _lists()
    for offset in range(2, len(text)):
        rest = text[offset:]
        sex = _SEX_THEN_AGE.match(folded, start + offset)
        told = len(text) > 3 or folded[start + 3 : start + 4].isdigit()  # not 张胜男, 35
        if (sex and told) or lists.field.match(rest):
            return start, start + offset
    if len(text) <= 4:
        return (start, start + len(text)) if len(text) > 1 else None
    shaped = _shaped(folded, start, text)
    if shaped:
        return start, start + shaped
    for offset in range(2, len(text)):
        if lists.followed.match(text, offset):
            return start, start + offset
    return start, start + min(len(text), 12)


def _shaped(folded: str, start: int, text: str) -> int:
    """How long the name is at the beginning of ``text``; 0 where it is no name."""
    lists = _lists()
    family = _surname_length(text)
    if not family or (family == 1 and lists.not_names.match(text)):
        return 0
    for given in (2, 1):
        length = family + given
        name, end = text[family:length], start + length
        if len(name) != given or set(name) & lists.never or name in lists.titles:
            continue
        stops = bool(_BREAK.match(folded, end))
        if not stops and given == 2 and name[1] in lists.never_last:
            continue
        # 高 begins 高兴 as well: such a name ends where the words end; one of two signs has the sex or age behind it
        if text[0] in lists.risky and family == 1:
            if _WHO_THEN.match(folded, end) or (stops and (given == 2 or name in lists.common)):
                return length
        elif stops or lists.followed.match(folded, end):
            return length
    return 0


def _without_words(folded: str, name: re.Match[str], strong: bool, sure: bool = False) -> Span | None:
    """A name in Latin letters up to the first word that is none.

    ``sure``: what opens it is a name, so that Wilson and May are one, too; else they are one behind a first name.
    """
    lists = _lists()
    kept = start = name.start("name")
    for word in re.finditer(r"[^\s,]+", name["name"]):
        bare = word.group().lower().rstrip(".").removesuffix("'s").removesuffix("’s")
        end = start + word.end()
        if bare in lists.latin_too and (sure or kept > start):
            if lists.latin_things.match(folded, end):
                break  # Wilson disease, May 5
        elif bare in lists.latin_never or (kept == start and bare in lists.latin_unknown):
            break
        kept = end
    if kept == start or (not strong and " " not in name["name"][: kept - start]):
        return None
    text = name["name"][: kept - start].rstrip(" ,")
    return start, start + len(text) - (2 if text.endswith(("'s", "’s")) else 0)


def _latin(folded: str, cased: str, start: int, mode: NameMode, colon: bool, shouted: bool) -> Span | None:
    lists = _lists()
    if mode == "person" and folded.startswith(", ", start):
        start += 2
    name = lists.latin.match(cased, start)
    if name is None:
        plain = _LOWER.match(folded, start) if mode == "name" and colon else None
        if plain is None or plain.group() != cased[slice(*plain.span())]:
            return None
        words = plain.group().split()
        kept = [word for count, word in enumerate(words) if not set(words[: count + 1]) & lists.latin_never]
        if not kept or kept[0] in lists.latin_unknown:
            return None
        end = start + len(" ".join(kept))
        return (start, end) if _AFTER_LATIN.match(folded, end) or len(kept) < len(words) else None
    titled = name.start("name") > name.start()
    sure = titled or (mode == "name" and colon)
    if shouted and not colon and not titled:
        return None
    span = _without_words(folded, name, strong=sure or colon, sure=sure)
    if span is None or sure:
        return span
    text = cased[slice(*span)]
    if not colon and not all(re.fullmatch("[A-Z].*[a-z].*|[A-Z][.]?", word) for word in text.replace(",", " ").split()):
        return None  # COPD, NYHA III
    if lists.latin_beside.intersection(name["name"].lower().replace(",", " ").split()):
        return None
    after = _AFTER_LATIN if " " in text else _AGE_AFTER_LATIN
    return span if after.match(folded, span[1]) else None
