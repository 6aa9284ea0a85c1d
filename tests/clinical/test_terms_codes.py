"""Every code of the packaged terms stands in WHO's mapping tables, under a title that fits the term."""

import csv
import gzip
import os
import re
from functools import cache
from pathlib import Path

import pytest

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.terms import LISTS

_BESIDE = Path(__file__).parents[2].parent / "shared" / "icd"
TABLES = Path(os.environ.get("MEDGEMMA_ICD_TABLES", _BESIDE))
ROWS = [row for name in LISTS for row in tables.rows(name, "term")]
# Words that many titles share say nothing about whether a title fits.
_EMPTY = (
    "of and or the with without due to by in not other unspecified specified disease diseases disorder disorders acute "
    "chronic syndrome type site elsewhere classified primary"
)

needs_tables = pytest.mark.skipif(
    not TABLES.is_dir(), reason=f"WHO's mapping tables are not at {TABLES} (set MEDGEMMA_ICD_TABLES)"
)


@cache
def titles() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """The English titles of each ICD-11 and each ICD-10 code in both tables."""
    icd11: dict[str, set[str]] = {}
    icd10: dict[str, set[str]] = {}
    files = sorted(TABLES.glob("*.tsv.gz"))
    assert len(files) >= 2, f"no mapping tables in {TABLES}"
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
                icd11.setdefault(row["icd11Code"], set()).add(row["icd11Title"])
                icd10.setdefault(row["icd10Code"], set()).add(row["icd10Title"])
    return icd11, icd10


def stems(text: str) -> set[str]:
    found = re.findall(r"[a-z]{2,}", text.lower().replace("ae", "e").replace("oe", "e"))
    return {word[:5] for word in found} - {word[:5] for word in _EMPTY.split()}


@needs_tables
@pytest.mark.parametrize("system", ["icd11", "icd10"])
def test_every_code_stands_in_the_tables(system):
    known = titles()[system == "icd10"]
    unknown = [(row["zh"], row[system]) for row in ROWS if row.get(system) and row[system] not in known]
    assert not unknown


@needs_tables
@pytest.mark.parametrize("system", ["icd11", "icd10"])
def test_the_title_of_every_code_fits_its_term_or_was_checked_by_hand(system):
    known = titles()[system == "icd10"]
    odd = [
        (row["zh"], row["en"], row[system], known[row[system]])
        for row in ROWS
        if row.get(system) and not row.get("checked_by_hand")
        and not any(stems(row["en"]) & stems(title) for title in known[row[system]])
    ]  # fmt: skip
    assert not odd


@needs_tables
def test_a_category_with_parts_is_coded_by_a_part():
    # BA41 has parts: an unspecified infarction is BA41.Z, and I21.9.
    icd11, icd10 = titles()
    vague = []
    for row in ROWS:
        for code, known in ((row.get("icd11", ""), icd11), (row.get("icd10", ""), icd10)):
            parts = [other for other in known if code and other.startswith(code if "." in code else f"{code}.")]
            if any(other != code and not set("/&") & set(other) for other in parts):
                vague.append((row["zh"], code))
    assert vague in ([], [("慢性乙型病毒性肝炎", "B18.1")])  # B18.10 and B18.19 are a later split that few use


def test_the_two_systems_are_kept_apart():
    for row in ROWS:
        if row.get("icd10"):
            assert re.fullmatch(r"[A-Z]\d\d(\.\d)?", row["icd10"]), row["zh"]
        if row.get("icd11"):
            assert re.fullmatch(r"[0-9A-Z]{4}(\.[0-9A-Z]{1,2})?", row["icd11"]), row["zh"]
            # The second sign of an ICD-11 code is a letter, that of an ICD-10 code never.
            assert row["icd11"][1].isalpha(), row["zh"]


def test_what_was_checked_by_hand_says_why():
    for row in ROWS:
        if "checked_by_hand" in row:
            assert len(str(row["checked_by_hand"])) > 15, row["zh"]
            assert row.get("icd11") or row.get("icd10"), row["zh"]
