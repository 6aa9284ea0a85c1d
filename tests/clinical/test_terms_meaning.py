"""Expressions that once led to a term that they do not mean, and terms that say nothing."""

import pytest

from medgemma_tui.clinical.analysis import analyze
from medgemma_tui.clinical.terms import find_terms


def names(text):
    return [term.standard_zh for term in find_terms(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # wider, narrower or another disease than the term was
        ("下呼吸道感染", []),
        ("慢性扁桃体炎", ["慢性扁桃体炎"]),
        ("慢性中耳炎", ["慢性中耳炎"]),
        ("急性鼻窦炎", ["急性鼻窦炎"]),
        ("中枢性面瘫", ["中枢性面瘫"]),
        ("面瘫", ["面神经麻痹"]),
        ("口眼歪斜", []),
        ("转移性肝癌", ["肝转移癌"]),
        ("直肠癌肝转移", ["直肠癌", "肝转移癌"]),
        ("反流性食管炎", ["反流性食管炎"]),
        ("宫颈糜烂", ["宫颈柱状上皮异位"]),
        ("停经40天", []),
        ("排尿困难", ["排尿困难"]),
        ("painful urination", ["尿痛"]),
        ("pyelonephritis", ["肾盂肾炎"]),
        ("化脓性腮腺炎", ["腮腺炎"]),
        ("酒精性酮症酸中毒", ["酒精性酮症酸中毒"]),
        ("颅内出血", ["颅内出血"]),
        ("胳膊疼", ["肢体疼痛"]),
        ("脑梗后遗症", ["脑梗死后遗症"]),
        ("previous MI", ["陈旧性心肌梗死"]),
        ("hot flushes", []),
        ("unsteady gait", []),
        ("peripheral arterial disease", ["外周动脉疾病"]),
        # an abbreviation inside a longer name
        ("GAD-7 15分", []),
        ("CKD-EPI", []),
        ("MDS-UPDRS", []),
        ("EGFR突变", []),
        ("eGFR 45", ["估算肾小球滤过率"]),
        ("pituitary apoplexy", []),
        ("bipolar hemiarthroplasty", []),
        ("胃底静脉曲张", []),
        ("埃博拉出血热", []),
        ("24小时尿蛋白定量6.8g", []),
    ],
)
def test_what_an_expression_means(text, expected):
    assert names(text) == expected


def test_bells_palsy_has_its_own_code_and_a_palsy_of_unknown_cause_has_not():
    [bell], [palsy] = find_terms("Bell's palsy"), find_terms("facial palsy")
    assert (bell.icd11, palsy.icd11) == ("8B88.0", "8B88.Z")


def test_a_term_that_says_nothing_is_left_out_of_an_analysis_and_can_still_be_looked_up():
    assert names("查血常规，服阿司匹林，ALT 40") == ["血常规", "阿司匹林", "丙氨酸氨基转移酶"]
    assert [term.text for term in analyze("查血常规，服阿司匹林，ALT 40").terms] == ["ALT"]
    # an illness without a code of its own stays: its name in the other language is wanted
    assert [term.standard_en for term in analyze("膜性肾病").terms] == ["Membranous nephropathy"]
