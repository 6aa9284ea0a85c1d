"""Drugs with the dose, route and frequency that stand beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medgemma_tui.clinical.entities.lists import Hit, Named
from medgemma_tui.clinical.entities.numbers import NUMBER, parse
from medgemma_tui.clinical.entities.scan import Scan
from medgemma_tui.clinical.entities.units import dose_forms, frequencies, match_form, match_unit, routes
from medgemma_tui.clinical.findings import Entity, Quantity
from medgemma_tui.clinical.negation import negated as denied
from medgemma_tui.clinical.textform import is_word

_NUMBER = re.compile(
    rf"(?P<n>{NUMBER}|半|[一两二三四](?=片|粒|支))(?:\s?[-~]\s?(?P<to>{NUMBER}))?(?:\s?/\s?(?P<and>{NUMBER}))?"
)
_PER = re.compile(r"\s?/\s?(?:(?P<day>d|day|日|天)|次|片|粒)(?![a-z])")
_SKIP = re.compile(
    r"[\s,:(·]|的|剂量|为|约|每次|一次(?=\d)|单次|缓释片|肠溶片|分散片|控释片|咀嚼片|片剂|片|缓释胶囊|胶囊|干混悬剂|混悬液|糖浆|吸入粉雾剂|粉雾剂|吸入剂|喷雾剂|雾化液|滴剂|栓剂?|注射用|溶液|首剂|首次|起始|初始|负荷量|负荷|维持量|维持|静脉泵|每[日天](?=\d)|注射液|注射剂|颗粒|口服液|"
    r"滴眼液|气雾剂|粉吸入剂|软膏|乳膏|用量|规律|长期|"
    r"tablets?(?![a-z])|capsules?(?![a-z])|injection|at a dose of|at|dose"
)
_SALT = re.compile(
    r"(?:[ -](?:(?:succinate|tartrate|hydrochloride|hcl|mesylate|mesilate|besylate|besilate|maleate|fumarate|acetate|"
    r"citrate|bromide|furoate|propionate|phosphate|sulfate|sulphate|medoxomil|axetil|xl|xr|er|sr|cr|ir|dr|ec|mr|la|cd)"
    r"(?![a-z])|(?:sodium|potassium|calcium|magnesium)(?=\s\d[\d.]{0,5}\s?(?:mg|g|mcg|u|units)(?![a-z/]))))+"
)
_EVERY = re.compile(
    r"q\s?(?P<h>\d{1,2})\s?h(?![a-z0-9])|"
    r"(?:每|every\s)\s?(?P<e>\d{1,2})\s?(?:个?小时|h|hours?)(?:\s?(?:一次|1次))?(?![a-z0-9])"
)
_DOSE_BEFORE = re.compile(
    rf"(?<![\d.])(?P<n>{NUMBER})\s?(?P<unit>[a-zμ毫微克升单位万片粒支丸袋滴喷吸]{{1,6}})\s?(?:of\s|的)?$"
)
_WORD_BEFORE = re.compile(r"(?P<word>[a-z]{2,12}|[\u4e00-\u9fff]{2,4})\s?$")
_AFTER = re.compile(rf"[\s:=为]{{0,3}}(?P<n>{NUMBER})")
_NOT_GIVEN = re.compile(
    r"(?:(?:未|没有?|不|否认|无需|避免|禁)(?:曾|再|规律|长期|予|能|宜)?(?:使用|服用|应用|口服|接受|给予|用)过?|停用|停服|停|"
    r"(?:not (?:taking|on|using)|never (?:took|taken|used)|"
    r"stopped|discontinued|off|avoid(?:ing)?|without)(?: taking| any)?)\s?$"
)
_GIVEN = re.compile(
    r"(?:拟用|拟予|拟给予|给予|予以|予|改用|改为|换用|加用|服用|使用|应用|开始|继续|规律|(?:on|takes?|taking|started|given|with))\s?$"
)
_COUNTABLE = frozenset({"tablet", "puff", "ampoule", "drop"})
_GIVER = re.compile(r"给|予|喂|gave|giv")
_CLAUSE = 60
_MOST = 9  # pieces behind a name


def find_drugs(scan: Scan) -> Iterator[Entity]:
    """The drugs of the list. A dose that is a range (5-10mg) lies in the text, but is no ``dose``: it is not one."""
    starts = {hit.start for hit in scan.hits}
    for hit in scan.hits:
        drug = hit.meaning.drug
        if drug is not None:
            if scan.reader.of_relative(hit.start, hit.end) and not _GIVER.search(
                scan.folded, max(0, hit.start - 10), hit.start
            ):
                continue  # 父亲服用华法林; what a relative gave the patient is the patient's
            entity = _drug(scan, hit, drug, starts)
            told = entity.dose or entity.route or entity.frequency or not hit.meaning.measures
            if told or not _measured(scan, hit):
                yield entity


def _denied(scan: Scan, hit: Hit) -> bool:
    """Whether it is not given: what stands right before it counts more than a denial earlier in the sentence."""
    first = max(0, hit.start - 20)
    if _NOT_GIVEN.search(scan.folded, first, hit.start):
        return True
    return _GIVEN.search(scan.folded, first, hit.start) is None and scan.negated(hit.start, hit.end)


def _denied_in(scan: Scan, hit: Hit, clause: int) -> bool:
    return denied(scan.folded[clause : hit.end], hit.start - clause, hit.end - clause)


def _measured(scan: Scan, hit: Hit) -> bool:
    """An analyte's value follows (白蛋白 32 g/L): what is meant is the measurement."""
    found = _AFTER.match(scan.folded, hit.end)
    return found is not None and match_unit(scan.folded, found.end()) is not None


def _drug(scan: Scan, hit: Hit, item: Named, starts: set[int]) -> Entity:
    folded = scan.folded
    at = end = hit.end
    start = hit.start
    dose: Quantity | None = None
    dosed = False
    route = frequency = ""
    salt = _SALT.match(folded, at)
    if salt:
        at = end = salt.end()
    named = at
    for _ in range(_MOST):
        if at in starts and at != named:
            break
        skipped = _SKIP.match(folded, at)
        found = match_form(routes(), folded, at)
        if found and not route:
            route, at = found
            end = at
            continue
        every = _EVERY.match(folded, at)
        if every and not frequency:
            frequency = f"q{every['h'] or every['e']}h"
            at = end = every.end()
            continue
        found = match_form(frequencies(), folded, at)
        if found and not frequency:
            frequency, at = found
            end = at
            continue
        number = _NUMBER.match(folded, at)
        if number and dosed:  # 160/4.5μg 2吸 bid: so many of what was described
            gap = number.end() + (folded[number.end() : number.end() + 1] == " ")
            unit = match_form(dose_forms(), folded, gap)
            if unit is None or unit[0] not in _COUNTABLE or number["to"] or number["and"]:
                break
            value = 0.5 if number["n"] == "半" else parse(number["n"])
            if dose is None and value is not None:
                dose = Quantity(value, unit[0])
            at = end = unit[1]
            continue
        if number:
            gap = number.end() + (folded[number.end() : number.end() + 1] == " ")
            unit = match_form(dose_forms(), folded, gap)
            if unit is None:
                if match_form(frequencies(), folded, gap) is None:
                    break
                at = gap  # 0.1 qd: a figure alone is no dose, what stands behind it still counts
                continue
            dosed, at = True, unit[1]
            end = at
            per = _PER.match(folded, at)
            if per:
                at = end = per.end()
            value = 0.5 if number["n"] == "半" else parse(number["n"])
            if value is not None and not number["to"] and not number["and"]:
                dose = Quantity(value, f"{unit[0]}/d" if per and per["day"] else unit[0])
            continue
        if skipped is None:
            break
        at = skipped.end()
    if dose is None and not dosed:
        before = _DOSE_BEFORE.search(folded, max(0, start - 18), start)
        unit = match_form(dose_forms(), folded, before.start("unit")) if before else None
        value = parse(before["n"]) if before else None
        if before and unit and value is not None and unit[1] == before.end("unit"):
            dose, start = Quantity(value, unit[0]), before.start()
    if not route:
        word = _WORD_BEFORE.search(folded, max(0, start - 14), start)
        if word:
            for cut in range(word.start("word"), word.end("word") - 1):
                if cut and is_word(folded[cut]) and is_word(folded[cut - 1]):
                    continue
                found = match_form(routes(), folded, cut)
                if found and found[1] == word.end("word"):
                    route, start = found[0], cut
                    break
    span = (start, end)
    negated = _denied(scan, hit)
    if negated and (
        dosed or frequency
    ):  # 否认心梗史，利伐沙班15mg qd: what has a dose is denied in its own clause only
        clause = folded.rfind(",", max(0, hit.start - _CLAUSE), hit.start) + 1
        negated = clause == 0 or _denied_in(scan, hit, clause)
    return Entity(
        "drug", scan.text[start:end], span, item.id, dose=dose, route=route, frequency=frequency, negated=negated
    )
