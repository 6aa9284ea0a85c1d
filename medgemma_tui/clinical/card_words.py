"""How one fact is written on the patient card, in Chinese and in English."""

from __future__ import annotations

import re
from typing import Final

from medgemma_tui.clinical.entities import label, typed_name
from medgemma_tui.clinical.entities.numbers import plain
from medgemma_tui.clinical.findings import Entity, Language, Term

DIVIDER: Final = " · "
CLAUSE_END: Final = re.compile(r"[,。;!?\n]|\.(?=\s)")
QUESTION: Final = re.compile(
    r"如何|怎么|怎样|是否|是不是|会不会|能否|可否|能不能|可不可以|要不要|需不需要|什么|哪些|哪种|哪个|为何|多少|有无必要|应该|应当|"
    r"(?<![a-z])(?:what|how|should|could|can|does|do|which|why|would|is it|is this|are there)(?![a-z])"
)
TAIL_QUESTION: Final = re.compile(r"(?:吗|么|呢|吧)\s?(?:$|[?。,;\n])|有哪些|怎么|多少|多大量|\?")
SUSPECTED: Final = re.compile(
    r"(?:考虑|疑似|可疑|怀疑|疑诊|疑|待排|可能为|可能是|不能排除|不排除|不除外|不能除外|"
    r"cannot exclude|cannot rule out|query|suspected|possible|probable|\?)\s?"
    r"(?:左侧|右侧|双侧|左|右|急性|慢性|合并|(?:an?|the|acute)\s)?$"
)
SUSPECTED_AFTER: Final = re.compile(
    r"\s?(?:可能|待排|待除外|待查|不能排除|不排除|不除外|cannot be (?:excluded|ruled out))"
)
ONSET: Final = re.compile(
    r"(?:突发|突然|骤起|持续性?|反复|间断性?|阵发性|进行性|急性|慢性|活动后|夜间|餐后|劳累后|加重的?|剧烈|轻度|中度|重度|明显|"
    r"(?:sudden(?:[- ]onset)?|acute|chronic|severe|mild|recurrent|intermittent|progressive|worsening)\s){1,2}$"
)
PATIENT: Final = re.compile(
    r"患者|病人|患儿|本例|主诉|(?<![a-z])(?:patient|he|she|his|her|history of|presents?|presented)(?![a-z])"
)
_LATIN: Final = re.compile(r"[\x20-\x7eα-ωΑ-Ω⁺⁻²³₂]+")
_UNITS_ZH: Final = {
    "second": "秒", "minute": "分钟", "hour": "小时", "day": "天", "week": "周", "month": "个月", "year": "年",
}  # fmt: skip
_AGES_ZH: Final = {"year": "岁", "month": "个月", "week": "周龄", "day": "天"}
_ROUTES: Final = {
    "oral": "po", "intravenous": "iv", "intramuscular": "im", "subcutaneous": "sc", "sublingual": "sl",
    "inhaled": "inh", "rectal": "pr",
}  # fmt: skip
_SHORT: Final = {
    "blood_pressure": "BP", "heart_rate": "HR", "pulse": "P", "respiratory_rate": "RR", "temperature": "T",
    "oxygen_saturation": "SpO2", "systolic_pressure": "SBP", "diastolic_pressure": "DBP", "bmi": "BMI", "gcs": "GCS",
    "mean_arterial_pressure": "MAP", "central_venous_pressure": "CVP", "fio2": "FiO2",
}  # fmt: skip
_BARE: Final = frozenset({"mmHg", "/min", "分"})  # understood behind BP, HR, GCS
_QUALITY_ZH: Final = {
    "positive": "阳性", "weakly positive": "弱阳性", "negative": "阴性", "high": "升高", "low": "降低",
    "normal": "正常",
}  # fmt: skip


def named_words(fact: Entity, lang: Language) -> str:
    """Age, sex, a place, a finding: as typed where it is in the language already."""
    if fact.kind == "age":
        number = plain(fact.value) if isinstance(fact.value, int | float) else ""
        doubt = "?" if fact.implausible else ""
        if isinstance(fact.value, float) and fact.unit == "year" and fact.value * 2 % 1:  # 2岁3个月
            return fact.text if lang == "zh" else f"{round(fact.value * 12)}-month-old{doubt}"
        return f"{number}{_AGES_ZH[fact.unit]}{doubt}" if lang == "zh" else f"{number}-{fact.unit}-old{doubt}"
    if fact.kind == "sex":
        if "孕" in fact.text or "pregnant" in fact.text.lower():
            return "孕妇" if lang == "zh" else "pregnant female"
        return {"male": "男", "female": "女"}[str(fact.value)] if lang == "zh" else str(fact.value)
    if (lang == "zh") != (_LATIN.fullmatch(fact.text) is not None):
        return fact.text
    known = label(fact.kind, fact.name)
    words = known[0 if lang == "zh" else 1] if known else fact.text
    return f"{words} ({fact.value})" if isinstance(fact.value, str) else words


def term_words(term: Term | None, fact: Entity, lang: Language) -> str:
    """The standard term, with the abbreviation that the clinician used behind it."""
    standard = (term.standard_zh if lang == "zh" else term.standard_en) if term else ""
    if not standard:
        return fact.text
    short = _LATIN.fullmatch(fact.text) and len(fact.text) <= 8 and any(char.isupper() for char in fact.text[1:])
    return f"{standard} ({fact.text})" if short and fact.text.lower() not in standard.lower() else standard


def duration_words(fact: Entity, lang: Language) -> str:
    """``2小时``, ``2 hours``; as typed where that is Chinese already."""
    typed = fact.text.lstrip("xX× ")
    chinese = _LATIN.fullmatch(typed) is None
    gestation = fact.name == "gestation"
    if lang == "zh":
        words = typed if chinese else f"{_number(fact)}{_UNITS_ZH[fact.unit]}"
        return f"孕{words}" if gestation else words
    number = _number(fact) if fact.value is not None else "several"
    words = f"{number} {fact.unit}" + ("" if fact.value == 1 else "s")
    return f"{words} of gestation" if gestation else words


def _number(fact: Entity) -> str:
    return plain(fact.value) if isinstance(fact.value, int | float) else (fact.value or "数")


def measure_words(fact: Entity, lang: Language) -> str:
    """``BP:165/95``, ``肌酐 132 μmol/L``; a value that cannot be is marked with a question mark."""
    value = plain(fact.value) if isinstance(fact.value, int | float) else str(fact.value)
    if lang == "zh":
        value = _QUALITY_ZH.get(value, value)
    value = f"{fact.comparator}{value}"
    doubt = "?" if fact.implausible else ""
    short = _SHORT.get(fact.name)
    if short and fact.kind == "vital":
        unit = "" if fact.unit in _BARE else fact.unit
        space = " " if unit and unit[0].isalpha() else ""
        return f"{short}:{value}{space}{unit}{doubt}"
    typed = typed_name(fact)
    known = label(fact.kind, fact.name)
    name = typed if typed and _LATIN.fullmatch(typed) else (known[0 if lang == "zh" else 1] if known else typed)
    if fact.unit == "分":
        return f"{name} {value}{' 分' if lang == 'zh' else ''}{doubt}"
    unit = fact.unit if fact.unit in ("", "%") else f" {fact.unit}"
    if fact.unit.startswith("10^"):
        unit = f"×{fact.unit}"
    return f"{name} {value}{unit}{doubt}"


def drug_words(fact: Entity, lang: Language) -> str:
    """``利伐沙班 15 mg qd``."""
    known = label("drug", fact.name)
    words = [known[0 if lang == "zh" else 1] if known else fact.text]
    if fact.dose:
        space = "" if fact.dose.unit == "%" else " "
        words.append(f"{plain(fact.dose.value)}{space}{fact.dose.unit}")
    words += [word for word in (_ROUTES.get(fact.route, fact.route), fact.frequency) if word]
    if fact.negated:
        return f"未用{words[0]}" if lang == "zh" else f"not on {words[0]}"
    return " ".join(words)


def allergy_words(fact: Entity, lang: Language) -> str:
    """``青霉素过敏``, ``无药物过敏史``."""
    if lang == "zh":
        if _LATIN.fullmatch(fact.text) is None and not fact.negated:
            return fact.text.removeprefix("对").removesuffix("史")
        if fact.text.startswith(("无", "否认")):
            return fact.text
        known = label("allergen", fact.name) or label("drug", fact.name)
        what = known[0] if known else fact.name
        return f"无{what}过敏史" if fact.negated else f"{what}过敏"
    what = fact.name or ""
    return (f"no known {what} allergy" if what else "no known allergies") if fact.negated else f"{what} allergy"
