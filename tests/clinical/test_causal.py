"""Causal chains: what a model's JSON must be to hold, and the chain that is read without a model."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.clinical import causal, tables
from medgemma_tui.clinical.grounding import Grounds
from medgemma_tui.demo import corpus

STEMI = (
    "## 定义\n冠状动脉急性闭塞所致的透壁性心肌缺血坏死。\n"
    "## 机制\n斑块**破裂** → 血栓形成 → 冠脉闭塞 → 透壁缺血 → ST段抬高\n"
    "## 鉴别\n主动脉夹层、肺栓塞。\n## 建议\n尽快再灌注。"
)
EN = (
    "## Mechanism\nPlaque rupture exposes collagen, which leads to platelet aggregation, "
    "resulting in coronary occlusion. This causes transmural ischaemia.\n## Differential\nDissection."
)


def reply(*labels: str) -> str:
    return json.dumps({"chain": labels}, ensure_ascii=False, separators=(",", ":"))


# The model's reply


def test_a_chain_in_the_answers_words_holds() -> None:
    assert causal.parse(reply("斑块破裂", "血栓", "缺血", "ST抬高"), STEMI) == ("斑块破裂", "血栓", "缺血", "ST抬高")
    assert causal.parse(reply("ruptured plaque", "Platelet aggregation", "Transmural ischemia"), EN) is not None
    assert causal.parse(f"```json\n{reply('冠脉闭塞', '缺血')}\n```", STEMI) == ("冠脉闭塞", "缺血")


@pytest.mark.parametrize(
    "labels",
    [
        ("斑块破裂", "肺动脉高压"),  # the answer does not speak of it
        ("斑块破裂", "夹层破裂闭塞"),  # words of several sentences
        ("斑块破裂", "起因"),
        ("斑块破裂", "的"),
        ("斑块破裂", ""),
        ("斑块破裂", "…"),
        ("斑块破裂", "斑块破裂"),
        ("ST段抬高", "ＳＴ段抬高"),
        ("斑块破裂",),
        (),
        tuple("斑块破裂血栓形成冠"),
        ("斑块破裂", "缺血\x1b[31m"),
        ("斑块破裂", "缺血\u202e"),
        ("斑块破裂", "透壁缺血" * 9),
        ("斑块破裂", "ST"[:1]),
    ],
)
def test_a_chain_that_does_not_hold_is_none(labels: tuple[str, ...]) -> None:
    assert causal.parse(reply(*labels), STEMI) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "斑块破裂 → 血栓",
        "[]",
        '["斑块破裂","血栓"]',
        '{"chain":"斑块破裂"}',
        '{"chain":["斑块破裂",1]}',
        '{"chain":["斑块破裂"',
        '{"chain":["斑块破裂","血栓"],"more":1}',
        "[" * 100_000,
        '{"chain":[["斑块破裂"],"血栓"]}',
        "1" * 5000,
        "NaN",
    ],
)
def test_what_is_not_of_the_form_is_none(text: str) -> None:
    assert causal.parse(text, STEMI) is None


def test_words_inside_other_words_are_no_ground() -> None:
    assert not Grounds("The patient is hypotensive.").hold("tens")
    assert not Grounds("MIC 2 mg/L").hold("MI")
    assert not Grounds("potassium 3.5").hold("potassium 3.0")
    assert not Grounds("Hypokalaemia was found.").hold("hyperkalaemia")
    assert Grounds("肾功能衰竭加重。").hold("肾衰竭")
    assert not Grounds("心功能良好；肾衰竭。").hold("心衰竭")


def test_the_schema_allows_what_parse_accepts_and_no_other_key() -> None:
    assert causal.SCHEMA["additionalProperties"] is False
    assert causal.SCHEMA["required"] == ["chain"]
    for lang in ("zh", "en"):
        assert '{"chain":[' in causal.request_text(lang)
        assert "\n" not in causal.request_text(lang)


@pytest.mark.engine
def test_the_workers_grammar_knows_the_schema() -> None:
    llguidance = pytest.importorskip("llguidance")
    tokenizer = llguidance.LLTokenizer("byte")
    grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(causal.SCHEMA))

    def accepted(text: str) -> bool:
        matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0)
        return matcher.consume_tokens(tokenizer.tokenize_str(text)) and matcher.is_accepting()

    assert accepted(reply("斑块破裂", "血栓形成", "心肌缺血", "ST段抬高"))
    assert not accepted(reply("斑块破裂"))
    assert not accepted('{"chain":["a","b"],"c":1}')


# Without the model


@pytest.mark.parametrize(
    ("answer", "chain"),
    [
        (STEMI, ("斑块破裂", "血栓形成", "冠脉闭塞", "透壁缺血", "ST段抬高")),
        (EN, ("Plaque rupture exposes collagen", "platelet aggregation", "coronary occlusion", "transmural ischaemia")),
        (
            "**机制**：动脉粥样硬化斑块破裂导致血小板聚集，进而引起冠脉闭塞，造成心肌缺血坏死。最终致ST段抬高。",
            ("动脉粥样硬化斑块破裂", "血小板聚集", "冠脉闭塞", "心肌缺血坏死", "ST段抬高"),
        ),
        ("## 机制\n1. 斑块破裂\n↓\n2. 血栓形成\n↓\n3. 缺血", ("斑块破裂", "血栓形成", "缺血")),
        ("## 机制\n斑块破裂 ->\n血栓 =>\n缺血", ("斑块破裂", "血栓", "缺血")),
        ("## 机制\n细菌侵入引起肾盂炎症。炎症致肾实质水肿。", ("细菌侵入", "肾盂炎症", "肾实质水肿")),
        ("## 机制\n病毒感染 → 分泌增多 → 心功能下降", ("病毒感染", "分泌增多", "心功能下降")),
        ("## 机制\n多巴胺能减退，并引起因子缺乏，造成并发症。", ("多巴胺能减退", "因子缺乏", "并发症")),
        (
            "## 机制\n斑块破裂，暴露脂质核心，激活血小板，形成血栓，导致冠脉闭塞。",
            ("斑块破裂", "暴露脂质核心", "激活血小板", "形成血栓", "冠脉闭塞"),
        ),
        ("## 机制\nRAAS激活导致水钠潴留，引起水肿。", ("RAAS激活", "水钠潴留", "水肿")),
        ("## 机制\n心输出量下降，激活RAAS，促进水钠潴留。", ("心输出量下降", "激活RAAS", "促进水钠潴留")),
        ("## 机制\n由HBV感染引起的肝炎可进展为肝硬化，进而发生肝细胞癌。", ("HBV感染", "肝炎", "肝硬化", "肝细胞癌")),
        ("## 机制\n5-HT释放→血管收缩；K⁺外流→复极。", ("5-HT释放", "血管收缩")),  # two chains, not one across them
        (
            "## Mechanism\nAsthma is due to airway inflammation caused by allergens.",
            ("allergens", "airway inflammation", "Asthma"),
        ),
        (
            "## Mechanism\nLow output activates the RAAS, leading to coronary occlusion and myocardial necrosis too.",
            ("Low output", "activates the RAAS", "coronary occlusion"),
        ),
        ("## 机制\n急性肾损伤多由低血容量引起。", ("低血容量", "急性肾损伤")),
        (
            "## Mechanism\nHypotension due to sepsis results in hypoperfusion.",
            ("sepsis", "Hypotension", "hypoperfusion"),
        ),
        ("## 机制\n见图。\n## 建议\n链：高热 → 脱水 → 休克。以后复查", ("高热", "脱水", "休克")),
        ("no parts: plaque rupture -> thrombus -> ischaemia. Then rest.", ("plaque rupture", "thrombus", "ischaemia")),
    ],
)
def test_chains_are_read_from_the_answer(answer: str, chain: tuple[str, ...]) -> None:
    assert causal.chain_from_answer(answer) == chain


@pytest.mark.parametrize(
    "answer",
    [
        "给予阿司匹林 → 行PCI → 随访",
        "Give aspirin -> repeat ECG -> admit",
        "",
        "## 机制\n尚不明确。",
        "## 机制\n使用阿司匹林，致命风险低，结论一致。",
        "剂量 2 → 4 片",  # an arrow, and no chain
        "斑块破裂导致血栓。",  # no part on the mechanism
        "## Mechanism\nThe cause is unknown.",
        "## 机制\n→ → →",
    ],
)
def test_where_nothing_causal_is_told_there_is_no_chain(answer: str) -> None:
    assert causal.chain_from_answer(answer) == ()


def test_the_demo_models_mechanism_has_its_chain() -> None:
    answer = next(entry for entry in corpus.entries() if entry.id == "mi-mechanism-zh").turns[0].answer
    chain = causal.chain_from_answer(answer)
    assert chain[0] == "斑块破裂"
    assert causal.parse(reply(*chain), answer) == chain


def test_a_site_adds_its_own_words(tmp_path: Path) -> None:
    rows = '[[connective]]\ndirection = "forward"\nwords = ["遂成"]\n'
    (tmp_path / "causal.toml").write_text(f'source = "s"\nreviewer = "r"\n{rows}', "utf-8")
    try:
        assert causal.chain_from_answer("## 机制\n血瘀遂成血栓。") == ()
        tables.use_site_directory(tmp_path)
        assert causal.chain_from_answer("## 机制\n血瘀遂成血栓。") == ("血瘀", "血栓")
    finally:
        tables.use_site_directory(None)


_PIECES = st.sampled_from(
    [
        "## 机制\n",
        "斑块",
        "破裂",
        "导致",
        "，",
        "。",
        "→",
        "->",
        "\n",
        "因",
        "的",
        "引起",
        "**",
        "（x）",
        "leads to ",
        "plaque ",
        "due to ",
        "ischaemia",
        ". ",
        "、",
        "所致",
        "由",
        "这",
        "↓",
        "- ",
        "1. ",
    ]
)


@settings(max_examples=200)
@given(st.lists(_PIECES, max_size=25).map("".join) | st.text(max_size=50))
def test_every_step_of_a_chain_is_grounded_in_its_answer(text: str) -> None:
    answer = "## 机制\n" + text
    chain = causal.chain_from_answer(answer)
    assert len(chain) == 0 or 2 <= len(chain) <= causal.MAX_STEPS
    grounds = Grounds(answer)
    for label in chain:
        assert label == label.strip()
        assert len(label) <= 40
        assert grounds.hold(label), label
    causal.parse(reply(*chain), text)


@settings(max_examples=50)
@given(st.text(max_size=80), st.text(max_size=40))
def test_any_reply_to_any_answer_is_judged(text: str, answer: str) -> None:
    causal.parse(text, answer)
    causal.parse(reply(text, answer), answer)


@pytest.mark.parametrize("piece", ["→", "导致", "a leads to ", "（", "由", ",", "的", "->\n", "1. ", "ab ", "、x导致"])
def test_hostile_answers_take_no_long_time(piece: str) -> None:
    answer = "## 机制\n" + (piece * 100_000)[:100_000]
    started = time.process_time()
    causal.chain_from_answer(answer)
    causal.parse(reply("斑块破裂", "ab", "x导致x", "leads to"), answer)
    assert time.process_time() - started < 2
