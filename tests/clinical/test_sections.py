"""The four parts of an answer: when they are wanted, and which of them an answer has."""

from __future__ import annotations

import time
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.clinical import sections, tables
from medgemma_tui.clinical.findings import Analysis, Coaching, Entity, EntityKind, QuestionKind, SectionId

ALL: tuple[SectionId, ...] = get_args(SectionId)


def analysis(kind: QuestionKind, *kinds: EntityKind) -> Analysis:
    return Analysis(tuple(Entity(each, "x", (0, 1)) for each in kinds), coaching=Coaching(kind))


def test_headings_are_given_in_their_order() -> None:
    assert sections.headings("zh") == ("定义", "机制", "鉴别", "建议")
    assert sections.headings("en") == ("Definition", "Mechanism", "Differential", "Recommendation")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (analysis("overview"), True),
        (analysis("differential", "age"), True),
        (analysis("treatment", "age", "sex", "finding"), True),
        (analysis("treatment", "sex", "diagnosis"), True),
        (analysis("treatment", "age"), False),
        (analysis("treatment", "finding"), False),
        (analysis("treatment"), False),
        (analysis("staging", "age", "diagnosis"), False),
        (analysis("dosing", "age", "drug", "finding"), False),
        (analysis("interpretation", "age", "finding"), False),
        (analysis("conduct", "age", "finding"), False),
        (analysis("other"), False),
    ],
)
def test_auto_wants_them_where_the_question_is_of_that_kind(asked: Analysis, expected: bool) -> None:
    assert sections.wanted("auto", asked) is expected
    assert sections.wanted("always", asked) is True
    assert sections.wanted("off", asked) is False


@pytest.mark.parametrize(
    "answer",
    [
        "## 定义\n冠脉闭塞\n## 机制\n斑块破裂\n## 鉴别\n夹层\n## 建议\n再灌注",
        "# 定义\nx\n### 发病机制\nx\n###### 鉴别诊断\nx\n## 治疗建议 ##\nx",
        "**定义**\n心梗\n\n**病理生理**：斑块\n**鉴别诊断：** 夹层\n**处理**: PCI",
        "定义：甲\n机制：乙\n鉴别：丙\n建议：丁",
        "1. 定义\n甲\n2、机制\n乙\n3) 鉴别\n丙\n（4）建议\n丁",
        "一、概念\n甲\n二、发病机理\n乙\n三、鉴别要点\n丙\n四、处理原则\n丁",
        "**1. 定义**：甲\n- **机制**：乙\n2. **鉴别**：丙\n__建议__：丁",
        "## 急性心肌梗死的定义\n甲\n## 机制（病理生理）\n乙\n## 鉴别诊断与评估\n丙\n## 建议：\n丁",
        "### 1. Definition\na\n### 2. Pathophysiology\nb\n### 3. Differential Diagnosis\nc\n### 4. Management\nd",
        "**Definition:** a\n**Mechanism** (pathogenesis): b\n**Differential diagnoses**: c\nRecommendations: d",
        "＃＃ 定义\n甲\n机制：乙\n鉴别：丙\n建议：丁".replace("＃＃", "##"),
        "【定义】甲\n【机制】乙\n**【鉴别诊断】**：丙\n【治疗建议】\n丁",
        "Definition — a\nMechanism - b\n**Differential** — c\nRecommendation – d",
        "🔹定义：甲\n⚙️ **机制**：乙\n🔹鉴别：丙\n### ✅ 建议\n丁",
        "## 定义与机制\n甲\n## 需要鉴别的疾病\n丙\n## 建议\n丁",
        "### Definition and mechanism\na\n### Differential diagnosis\nc\n### Treatment\nd",
        "Definition\n===\na\nMechanism\n---\nb\nDifferential\n---\nc\nRecommendation\n---\nd",
    ],
)
def test_every_way_to_write_the_headings_is_found(answer: str) -> None:
    found = sections.check(answer)
    assert (found.present, found.missing, found.in_order) == (ALL, (), True)


@pytest.mark.parametrize(
    "answer",
    [
        "建议立即行PCI - 尽快",
        "机制尚不明确",
        "The definition of X - y",
        "建议与定义不符",
        "【注意】定义不清",
        "- 定义与阈值：甲",
    ],
)
def test_a_sentence_is_no_heading(answer: str) -> None:
    assert sections.check(answer).present == ()


def test_a_heading_with_nothing_under_it_is_missing() -> None:
    found = sections.check("## 定义\n冠脉闭塞\n## 机制\n\n## 鉴别\n……—\n## 建议：")
    assert found.present == ("definition",)
    assert found.missing == ("mechanism", "differential", "recommendation")


def test_what_stands_under_a_sub_heading_counts_and_under_another_subject_not() -> None:
    assert sections.check("## 机制\n### 斑块\n破裂").present == ("mechanism",)
    assert sections.check("## 机制\n## 参考文献\nESC 2023").present == ()


def test_parts_out_of_order_are_there_and_said_to_be_out_of_order() -> None:
    found = sections.check("## 建议\n甲\n## 定义\n乙")
    assert (found.present, found.in_order) == (("definition", "recommendation"), False)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "```\n## 定义\n甲\n```",
        "建议卧床休息。机制尚不明确：可能与感染有关。",
        "The definition of sepsis changed. Management: see below",  # a sentence with a colon in it
        "1. 处理后复查\n2. 建议门诊随访",
        "**建议立即再灌注**：120分钟内",
        "按指南定义：见上文",
    ],
)
def test_text_that_only_has_such_words_is_no_heading(answer: str) -> None:
    assert sections.check(answer).present == ()


def test_parts_are_given_with_their_text() -> None:
    answer = "前言\n## 定义\n甲\n**机制**：乙"
    assert [(part.id, answer[slice(*part.span)].strip()) for part in sections.parts(answer)] == [
        ("definition", "甲"), ("mechanism", "乙"),
    ]  # fmt: skip


def test_a_site_adds_headings_and_is_told_of_a_bad_row(tmp_path: Path) -> None:
    head = 'source = "site"\nreviewer = "Dr Li"\n'
    (tmp_path / "sections.toml").write_text(
        head + '[[section]]\nid = "recommendation"\nnames = ["医嘱要点"]\n', "utf-8"
    )
    try:
        tables.use_site_directory(tmp_path)
        assert sections.check("医嘱要点：休息").present == ("recommendation",)
        assert sections.headings("zh")[3] == "建议"
        tables.use_site_directory(None)
        (tmp_path / "sections.toml").write_text(head + '[[section]]\nid = "coda"\nnames = ["x"]\n', "utf-8")
        tables.use_site_directory(tmp_path)
        with pytest.raises(tables.TableError, match="coda"):
            sections.check("x")
    finally:
        tables.use_site_directory(None)


_PIECES = st.sampled_from(
    [
        "## ",
        "# ",
        "定义",
        "机制",
        "鉴别",
        "建议",
        "：",
        "**",
        "\n",
        "\n\n",
        "1. ",
        "Definition",
        "Management",
        "```\n",
        "甲",
        "…",
        " ",
    ]
)


@settings(max_examples=150)
@given(st.lists(_PIECES, max_size=30).map("".join) | st.text(max_size=60))
def test_present_and_missing_are_always_the_four(answer: str) -> None:
    found = sections.check(answer)
    assert set(found.present) | set(found.missing) == set(ALL)
    assert set(found.present).isdisjoint(found.missing)
    assert list(found.present) == [id_ for id_ in ALL if id_ in found.present]
    for part in sections.parts(answer):
        assert 0 <= part.start <= part.span[0] <= part.span[1] <= len(answer)


@pytest.mark.parametrize("piece", ["## 定义\n", "# x\n", " ", "**", "(", "1. ", "定义", "- ", "```\n"])
def test_hostile_text_takes_no_long_time(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    started = time.process_time()
    sections.check(text)
    assert time.process_time() - started < 2
