"""Kidney function computed from what was found: CKD-EPI 2021 (eGFR) and Cockcroft-Gault 1976 (clearance).

The two are different things and are never mixed up: each has its own name, unit and formula text. Nothing is computed
for children, nor in pregnancy (neither equation holds there), nor from values that are implausible, negated, a bound
(<90), a range, or given twice with different figures: a wrong figure is worse than none, and which of two creatinines
is meant only the person knows.

Sources: Inker LA et al., N Engl J Med 2021;385:1737-49 (CKD-EPI 2021, creatinine, without race);
Cockcroft DW, Gault MH, Nephron 1976;16:31-41.
"""

from __future__ import annotations

from typing import Final

from medgemma_tui.clinical.findings import Derived, Entity

EGFR_FORMULA: Final = "CKD-EPI 2021"
CLEARANCE_FORMULA: Final = "Cockcroft–Gault 1976"
EGFR_UNIT: Final = "mL/min/1.73 m²"
CLEARANCE_UNIT: Final = "mL/min"
_MICROMOL: Final = 88.4  # μmol/L in 1 mg/dL of creatinine
_ADULT: Final = 18


def ckd_epi_2021(creatinine: float, age: float, sex: str) -> float:
    """eGFR in mL/min/1.73 m² from creatinine in mg/dL, age in years (18 or more) and sex (male or female).

    Raises ValueError for other input.
    """
    _check(creatinine, age, sex)
    kappa, alpha, factor = (0.7, -0.241, 1.012) if sex == "female" else (0.9, -0.302, 1.0)
    ratio = creatinine / kappa
    result: float = 142 * min(ratio, 1.0) ** alpha * max(ratio, 1.0) ** -1.200 * 0.9938**age * factor
    return result


def cockcroft_gault(creatinine: float, age: float, sex: str, weight: float) -> float:
    """Creatinine clearance in mL/min from creatinine in mg/dL, age in years, sex, and actual body weight in kg.

    Raises ValueError for other input.
    """
    _check(creatinine, age, sex)
    if not weight > 0 or age >= 140:
        raise ValueError("weight must be above 0, age below 140")
    return (140 - age) * weight / (72 * creatinine) * (0.85 if sex == "female" else 1.0)


def _check(creatinine: float, age: float, sex: str) -> None:
    if not creatinine > 0 or not age >= _ADULT or sex not in ("male", "female"):
        raise ValueError("needs a creatinine above 0, an age of 18 or more, and a sex")


def derive(entities: tuple[Entity, ...]) -> tuple[Derived, ...]:
    """What can be computed, eGFR first; empty where an input is missing, doubtful, or there twice and different."""
    age = _only(entities, "age", "", {"year": 1.0, "month": 1 / 12, "week": 7 / 365.25, "day": 1 / 365.25})
    creatinine = _only(entities, "lab", "creatinine", {"mg/dL": 1.0, "μmol/L": 1 / _MICROMOL})
    sexes = {str(entity.value) for entity in entities if entity.kind == "sex" and not entity.negated}
    if age is None or creatinine is None or len(sexes) != 1 or age[0] < _ADULT:
        return ()
    sex = sexes.pop()
    if _pregnant(entities):
        return ()
    if creatinine[0] <= 0 or sex not in ("male", "female"):
        return ()
    inputs = (age[1], sex, creatinine[1])
    found = [
        Derived("egfr", round(ckd_epi_2021(creatinine[0], age[0], sex), 1), EGFR_UNIT, EGFR_FORMULA, inputs),
    ]
    weight = _only(entities, "vital", "weight", {"kg": 1.0, "lb": 1 / 2.20462, "斤": 0.5})
    if weight is not None and weight[0] > 0:
        clearance = round(cockcroft_gault(creatinine[0], age[0], sex, weight[0]), 1)
        found.append(
            Derived("creatinine_clearance", clearance, CLEARANCE_UNIT, CLEARANCE_FORMULA, (*inputs, weight[1]))
        )
    return tuple(found)


def _pregnant(entities: tuple[Entity, ...]) -> bool:
    return any(
        (entity.kind == "sex" and ("孕" in entity.text or "pregnant" in entity.text.lower()))
        or (entity.kind == "duration" and entity.name == "gestation")
        for entity in entities
    )


def _only(entities: tuple[Entity, ...], kind: str, name: str, units: dict[str, float]) -> tuple[float, str] | None:
    """The one value of this kind in the first unit and how it was given; None where there is none that can be used.

    The same value twice (also in two units, to within one hundredth) is one.
    """
    values: list[float] = []
    shown = ""
    for entity in entities:
        if entity.kind != kind or entity.name != name or entity.negated:
            continue
        factor = units.get(entity.unit)
        if entity.implausible or entity.comparator or factor is None or not isinstance(entity.value, int | float):
            return None
        values.append(float(entity.value) * factor)
        shown = shown or f"{name or kind} {entity.value:.10g} {entity.unit}"
    if not values or max(values) - min(values) > 0.01 * max(values):
        return None
    return values[0], shown
