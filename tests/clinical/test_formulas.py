"""Kidney function: known values, and when nothing must be computed."""

from __future__ import annotations

import pytest

from medgemma_tui.clinical.entities import find_entities
from medgemma_tui.clinical.findings import Derived
from medgemma_tui.clinical.formulas import ckd_epi_2021, cockcroft_gault, derive


def derived(text: str) -> dict[str, Derived]:
    return {found.name: found for found in derive(find_entities(text))}


# By hand from the published equation, 142 * min(Scr/k, 1)^a * max(Scr/k, 1)^-1.200 * 0.9938^age (* 1.012 if female):
# at Scr = k both powers are 1, so only age and sex are left; the others with a pocket calculator.
@pytest.mark.parametrize(
    ("creatinine", "age", "sex", "egfr"),
    [
        (0.9, 50, "male", 142 * 0.73275),  # 0.9938^50 = 0.73275
        (0.7, 50, "female", 142 * 0.73275 * 1.012),
        (1.8, 50, "male", 142 * 0.73275 * 0.435275),  # 2^-1.2
        (1.4, 50, "female", 142 * 0.73275 * 0.435275 * 1.012),
        (0.45, 50, "male", 142 * 0.73275 * 1.23285),  # 0.5^-0.302
        (0.35, 50, "female", 142 * 0.73275 * 1.18181 * 1.012),  # 0.5^-0.241
        (1.0, 50, "female", 68.6),  # calculators of NKF and NIDDK: 69
        (1.0, 50, "male", 91.7),  # 92
    ],
)
def test_ckd_epi_2021(creatinine: float, age: float, sex: str, egfr: float) -> None:
    assert ckd_epi_2021(creatinine, age, sex) == pytest.approx(egfr, rel=1e-3)


def test_cockcroft_gault() -> None:
    assert cockcroft_gault(1.0, 60, "male", 72) == pytest.approx(80)
    assert cockcroft_gault(1.0, 60, "female", 72) == pytest.approx(68)
    assert cockcroft_gault(2.0, 80, "male", 60) == pytest.approx(25)


@pytest.mark.parametrize(
    ("creatinine", "age", "sex"),
    [(0, 60, "male"), (-1, 60, "male"), (1, 17, "male"), (1, 60, ""), (float("nan"), 60, "male")],
)
def test_no_formula_for_other_input(creatinine: float, age: float, sex: str) -> None:
    with pytest.raises(ValueError, match="needs a creatinine"):
        ckd_epi_2021(creatinine, age, sex)
    with pytest.raises(ValueError, match="needs a creatinine"):
        cockcroft_gault(creatinine, age, sex, 70)


def test_both_are_offered_each_with_its_formula_and_unit() -> None:
    found = derived("65岁男性，体重70kg，肌酐132μmol/L")
    assert list(found) == ["egfr", "creatinine_clearance"]
    egfr, clearance = found["egfr"], found["creatinine_clearance"]
    assert (egfr.unit, egfr.formula) == ("mL/min/1.73 m²", "CKD-EPI 2021")
    assert (clearance.unit, clearance.formula) == ("mL/min", "Cockcroft–Gault 1976")
    assert egfr.value == pytest.approx(ckd_epi_2021(132 / 88.4, 65, "male"), abs=0.05)
    assert clearance.value == pytest.approx((140 - 65) * 70 / (72 * 132 / 88.4), abs=0.05)
    assert "weight 70 kg" in clearance.inputs
    assert not any("weight" in given for given in egfr.inputs)


def test_without_a_weight_there_is_no_clearance() -> None:
    assert list(derived("65岁男性，肌酐132μmol/L")) == ["egfr"]
    assert list(derived("65岁男性，肌酐132μmol/L，体重130")) == ["egfr"]  # kg or 斤: not known


def test_units_give_the_same_result() -> None:
    assert derived("65岁男，肌酐 1.5 mg/dL")["egfr"].value == derived("65岁男，肌酐 132.6 μmol/L")["egfr"].value
    assert (
        derived("65岁男，肌酐 1.5 mg/dL，体重130斤")["creatinine_clearance"].value
        == derived("65岁男，肌酐 1.5 mg/dL，体重65kg")["creatinine_clearance"].value
    )


@pytest.mark.parametrize(
    "text",
    [
        "65岁，肌酐132μmol/L",  # no sex
        "男性，肌酐132μmol/L",  # no age
        "65岁男性",  # no creatinine
        "12岁男孩，肌酐60μmol/L",  # a child
        "6月龄男婴，肌酐30μmol/L",
        "65岁男性，肌酐132mmol/L",  # not a unit of creatinine
        "65岁男性，肌酐60",  # which unit?
        "65岁男性，肌酐>132μmol/L",  # a bound
        "65岁男性，肌酐90-132μmol/L",  # a range
        "65岁男性，肌酐由132升至210μmol/L",  # which of the two?
        "65岁男性，肌酐132μmol/L，昨日肌酐210μmol/L",
        "265岁男性，肌酐132μmol/L",
        "65岁男性，肌酐99999μmol/L",
        "65岁，男，女，肌酐132μmol/L",
        "65岁男性，78岁，肌酐132μmol/L",
        "65岁男性，肌酐升高",
        "65岁男性，eGFR 28mL/min",
    ],
)
def test_nothing_is_computed_where_an_input_is_missing_or_in_doubt(text: str) -> None:
    assert not derived(text)


def test_the_same_value_twice_is_one() -> None:
    assert "egfr" in derived("65岁男性，肌酐132μmol/L（1.49mg/dL），Scr 132μmol/L")


def test_an_implausible_weight_gives_no_clearance() -> None:
    assert list(derived("65岁男性，肌酐132μmol/L，体重7000kg")) == ["egfr"]


@pytest.mark.parametrize(
    "text",
    [
        "孕妇，32岁，孕28周，肌酐60μmol/L，体重70kg",
        "32-year-old pregnant woman, creatinine 0.7 mg/dL, weight 70 kg",
        "65岁女，尿肌酐132μmol/L，体重60kg",
        "65岁男，父亲肌酐132μmol/L，体重60kg",
    ],
)
def test_nothing_is_computed_in_pregnancy_from_urine_or_from_a_relative(text: str) -> None:
    assert not derived(text)


# Computed apart from this code, in a spreadsheet's form of both equations; Cockcroft-Gault with 60 kg.
@pytest.mark.parametrize(
    ("creatinine", "age", "sex", "egfr", "clearance"),
    [
        (0.6, 30, "female", 123.8, 129.9),
        (0.7, 50, "female", 105.3, 91.1),
        (2.0, 80, "female", 24.8, 21.2),
        (0.8, 25, "male", 126.0, 119.8),
        (1.2, 60, "male", 69.2, 55.6),
        (5.0, 75, "male", 11.4, 10.8),
    ],
)
def test_six_patients(creatinine: float, age: float, sex: str, egfr: float, clearance: float) -> None:
    assert round(ckd_epi_2021(creatinine, age, sex), 1) == egfr
    assert round(cockcroft_gault(creatinine, age, sex, 60), 1) == clearance
