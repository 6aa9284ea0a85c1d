"""The lists behind the entities: complete enough, coherent, extensible, and refused in one plain line where wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.entities import find_entities
from medgemma_tui.clinical.entities.lists import Analyte, lists
from medgemma_tui.clinical.entities.numbers import plain
from medgemma_tui.clinical.entities.units import match_unit, unit_forms

LISTS = ("vitals", "labs", "drugs", "anatomy", "findings", "allergens", "units")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    tables.use_site_directory(tmp_path)
    yield tmp_path
    tables.use_site_directory(None)


def test_how_much_there_is() -> None:
    kinds = [kind for kind, _ in lists().by_id]
    assert kinds.count("lab") >= 70
    assert kinds.count("drug") >= 300
    assert kinds.count("anatomy") >= 150
    assert kinds.count("finding") >= 150


@pytest.mark.parametrize("name", LISTS)
def test_every_list_says_where_it_is_from(name: str) -> None:
    for _, document in tables.documents(name):
        assert len(str(document["source"])) > 20
        assert document["reviewer"]


def test_every_unit_of_an_analyte_can_be_read() -> None:
    for analyte in lists().by_id.values():
        if isinstance(analyte, Analyte):
            for limits in analyte.units:
                assert not limits.unit or match_unit(limits.unit.lower(), 0) == (limits.unit, len(limits.unit)), (
                    analyte.id
                )


def test_every_name_of_an_analyte_is_found_with_its_unit() -> None:
    """A name that another list or a longer look-alike hides would never be found."""
    known = lists()
    missed = []
    for name, items in known.measures.items():
        for item in items:
            analyte = item.analyte
            if not analyte.units or analyte.id == "blood_pressure":
                continue
            limits = analyte.units[0]
            value = limits.low + (limits.high - limits.low) / 3
            text = f"{item.exact or name} {plain(round(value, 2))} {limits.unit}"
            if not any(found.name == analyte.id for found in find_entities(text)):
                others = [other.analyte.id for other in items]
                if others[0] == analyte.id or len(others) == 1:
                    missed.append(text)
    assert not missed


def test_every_drug_place_and_finding_is_found_by_its_names() -> None:
    known = lists()
    missed = [
        (kind, name)
        for (kind, _), named in known.by_id.items()
        if kind in ("drug", "anatomy", "finding")
        for name in (named.zh, named.en)
        if not any(found.kind in (kind, "diagnosis", "finding", "lab") for found in find_entities(f"{name}。"))
    ]
    assert not missed


def test_conversions_there_and_back() -> None:
    for analyte in lists().by_id.values():
        if not isinstance(analyte, Analyte) or not analyte.units:
            continue
        first = analyte.units[0]
        middle = (first.low + first.high) / 2
        for unit in analyte.units[1:]:
            if unit.convertible:
                assert unit.low <= middle * unit.factor + unit.offset <= unit.high, (analyte.id, unit.unit)


def test_forms_of_units_are_unambiguous() -> None:
    assert unit_forms().forms["μmol/l"] == "μmol/L"
    assert match_unit("×10⁹/l".replace("×", "x"), 0) == ("10^9/L", 6)
    assert match_unit("10*12 / l", 0) == ("10^12/L", 9)
    assert match_unit(" mmol / l ", 0) == ("mmol/L", 9)
    assert match_unit("mgx", 0) is None
    assert match_unit("", 0) is None


def test_a_site_adds_its_own(site: Path) -> None:
    (site / "labs.toml").write_text(
        'source = "our laboratory, 2026"\nreviewer = "Dr. Wang"\n'
        '[[lab]]\nid = "presepsin"\nzh = "可溶性CD14亚型"\nen = "presepsin"\nunits = [{ unit = "pg/mL" }]\n'
        "low = 0\nhigh = 99999\n",
        encoding="utf-8",
    )
    (site / "drugs.toml").write_text(
        'source = "our formulary, 2026"\nreviewer = "Dr. Wang"\ndrug = [{ zh = "院内合剂", en = "house mixture" }]\n',
        encoding="utf-8",
    )
    tables.use_site_directory(None)
    tables.use_site_directory(site)
    assert [(found.name, found.value) for found in find_entities("presepsin 600 pg/mL")] == [("presepsin", 600)]
    assert [found.name for found in find_entities("院内合剂10ml tid")] == ["house mixture"]
    assert find_entities("肌酐132μmol/L")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('[[lab]]\nzh = "甲"\nen = "a"', "id is missing"),
        ('[[lab]]\nid = "a"\nzh = "甲"', "en is missing"),
        ('[[lab]]\nid = "a"\nzh = "甲"\nen = "a"\nnames = "a"', "names is no list"),
        ('[[lab]]\nid = "a"\nzh = "甲"\nen = "a"\nlow = 5\nhigh = 1', "low is not below high"),
        ('[[lab]]\nid = "a"\nzh = "甲"\nen = "a"\nlow = "x"', "low is no number"),
        ('[[lab]]\nid = "a"\nzh = "甲"\nen = "a"\nunits = "g"', "units is no list"),
        ('[[lab]]\nid = "a"\nzh = "甲"\nen = "a"\nunits = [{ factor = 2 }]', "a unit has no name"),
        ('[[lab]]\nid = "a"\nzh = "甲"\nen = "a"\nunits = [{ unit = "g/L", factor = 0 }]', "not above 0"),
        ("lab = 3", "no list of tables"),
    ],
)
def test_a_wrong_row_is_named(site: Path, row: str, problem: str) -> None:
    (site / "labs.toml").write_text(f'source = "x"\nreviewer = "y"\n{row}\n', encoding="utf-8")
    tables.use_site_directory(None)
    tables.use_site_directory(site)
    with pytest.raises(tables.TableError, match=problem) as error:
        find_entities("x")
    assert "labs.toml" in error.value.path


@pytest.mark.parametrize(
    "row", ['unit = [{ forms = ["g"] }]', 'unit = [{ unit = "g", forms = [""] }]', "dose_unit = [{ unit = 3 }]"]
)
def test_a_wrong_unit_is_named(site: Path, row: str) -> None:
    (site / "units.toml").write_text(f'source = "x"\nreviewer = "y"\n{row}\n', encoding="utf-8")
    tables.use_site_directory(None)
    tables.use_site_directory(site)
    with pytest.raises(tables.TableError, match=r"units\.toml"):
        find_entities("利伐沙班 15 mg，肌酐 132 μmol/L")
