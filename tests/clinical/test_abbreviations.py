"""Full names behind bare abbreviations: where one goes, and where it does not."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.abbreviations import expansions

ROWS = tables.rows("abbreviations", "abbreviation")


def shown(text, lang="zh"):
    """The text as a screen would show it."""
    for found in reversed(expansions(text, lang)):
        text = f"{text[: found.end]}〔{found.full}〕{text[found.end :]}"
    return text


@pytest.mark.parametrize(
    ("text", "lang", "wanted"),
    [
        ("提示LVH", "zh", "提示LVH〔左心室肥厚〕"),
        ("LVH is likely.", "en", "LVH〔left ventricular hypertrophy〕 is likely."),
        ("LVH患者的LVH", "zh", "LVH〔左心室肥厚〕患者的LVH"),
        ("**CKD**：eGFR 28", "zh", "**CKD〔慢性肾脏病〕**：eGFR〔估算肾小球滤过率〕 28"),
        ("NT-proBNP升高", "zh", "NT-proBNP〔氨基末端脑钠肽前体〕升高"),
        ("STEMI/NSTEMI", "zh", "STEMI〔ST段抬高型心肌梗死〕/NSTEMI〔非ST段抬高型心肌梗死〕"),
        ("CKD-EPI 2021", "zh", "CKD-EPI〔慢性肾脏病流行病学合作组〕 2021"),
        ("ＬＶＨ", "zh", "ＬＶＨ〔左心室肥厚〕"),
        ("LVH（Sokolow标准）", "zh", "LVH〔左心室肥厚〕（Sokolow标准）"),
        ("LVH (Sokolow 35 mm)", "en", "LVH〔left ventricular hypertrophy〕 (Sokolow 35 mm)"),
        ("无LVH", "zh", "无LVH〔左心室肥厚〕"),
        ("`code` LVH", "zh", "`code` LVH〔左心室肥厚〕"),
        ("```\nLVH\n```\nLVH", "zh", "```\nLVH\n```\nLVH〔左心室肥厚〕"),
        ("- BP 165/95\n- HbA1c≥7%", "zh", "- BP〔血压〕 165/95\n- HbA1c〔糖化血红蛋白〕≥7%"),
    ],
)
def test_the_full_name_goes_behind_the_first_use(text, lang, wanted):
    assert shown(text, lang) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "左心室肥厚（LVH）",
        "左心室肥厚 (LVH)",
        "AF（房颤）",
        "DAPT（双抗）",
        "COPD（慢阻肺）",
        "左室壁增厚（LVH）",
        "left ventricular hypertrophy (LVH)",
        "LVH (left ventricular hypertrophy)",
        "LVH（左心室肥厚）",
        "LVH（左室肥厚）",
        "LVH〔左心室肥厚〕",
        "LVH，即左心室肥厚，",
        "CKD (chronic kidney dis.)",
        "TIA (transient ischemic attack)",
        "左心室肥厚（LVH），LVH患者",
        "`LVH`",
        "```\nLVH",
        "~~~\nLVH\n~~~",
        "https://example.org/LVH?LVH",
        "anti-LVH",
        "LVH-related",
        "LVHs LVH2 2LVH ALVH LVH_x",
        "lvh",
        "K 4.1 mmol/L, Na 140, Ca, Mg, Fe, mg, mL, kPa, IU, cm, V1–V4, ST, T4a, IV, II",
        "",
    ],
)
def test_nothing_is_added_where_it_is_told_or_is_no_abbreviation(text):
    assert shown(text) == text


def test_about_two_hundred_with_both_names_each_once():
    shorts = [row["short"] for row in ROWS]
    assert len(shorts) >= 200
    assert len(set(shorts)) == len(shorts)
    for row in ROWS:
        assert not row["zh"].isascii(), row
        assert row["short"] != row["zh"]
        assert row["en"][0].isascii(), row


def test_no_unit_and_no_element_is_an_abbreviation():
    units = (
        "mg g kg L mL dL mol mmol U IU kU Pa kPa mmHg Hz h min s d K Na Ca Mg Cl Fe Zn Cu P Hg Pb Li I II III IV V VI"
    )
    assert not {row["short"] for row in ROWS} & set(units.split())


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="LVHCKD（）()〔〕`~ \n左心室肥厚-/a1Ａ患", max_size=60))
def test_ends_are_behind_their_abbreviations(text):
    seen = set()
    for found in expansions(text, "zh"):
        assert found.abbreviation not in seen
        seen.add(found.abbreviation)
        written = text[found.end - len(found.abbreviation) : found.end]
        assert written.translate({0xFF01 + n: 0x21 + n for n in range(94)}) == found.abbreviation


@pytest.mark.parametrize(
    "text", ["`" * 100_000, "```a\n" * 20_000, "A-" * 50_000, "(" * 100_000 + "LVH", "`LVH`" * 20_000, "LVH（" * 25_000]
)
def test_long_hostile_texts_take_linear_time(text):
    began = time.process_time()
    expansions(text, "zh")
    assert time.process_time() - began < 2


def test_a_site_adds_its_own_and_a_bad_row_is_named(tmp_path):
    head = 'source = "ours"\nreviewer = "dr"\n'
    path = tmp_path / "abbreviations.toml"
    path.write_text(
        f'{head}[[abbreviation]]\nshort = "XQZ"\nzh = "某检查"\nen = "some test"\n'
        '[[abbreviation]]\nshort = "LVH"\nzh = "左室肥厚（本院）"\nen = "LV hypertrophy"\n',
        encoding="utf-8",
    )
    try:
        tables.use_site_directory(tmp_path)
        assert shown("XQZ，LVH") == "XQZ〔某检查〕，LVH〔左室肥厚（本院）〕"
        path.write_text(f'{head}[[abbreviation]]\nshort = "XQZ"\nzh = "某检查"\n', encoding="utf-8")
        tables.use_site_directory(None)
        tables.use_site_directory(tmp_path)
        with pytest.raises(tables.TableError, match="XQZ"):
            expansions("LVH", "zh")
    finally:
        tables.use_site_directory(None)
