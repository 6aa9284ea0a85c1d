"""The demo model's tokenizer, training script and shipped files. Exact answers are tested through the real stack."""

from __future__ import annotations

import copy
import json
import os
import re
from functools import cache, partial
from pathlib import Path

import jinja2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui import model_manifest
from medgemma_tui.demo import model_dir

pytestmark = pytest.mark.engine

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")

from medgemma_tui.clinical import causal, sections  # noqa: E402
from medgemma_tui.demo.prompts import chain_reply, instructions, pinned, under_headings  # noqa: E402
from medgemma_tui.demo.samples import Mixture, SampleMaker  # noqa: E402
from medgemma_tui.tui.conversation import Conversation  # noqa: E402

ROLE = {"user": "user", "assistant": "model"}
TALK = [
    {"role": "user", "content": "  糖尿病肾病的GFR分期标准是什么？ \n"},
    {"role": "assistant", "content": "\nG1 ≥90 … G5 <15\n"},
    {"role": "user", "content": "And in English?\n\nPlease."},
]
CONVERSATIONS = [
    TALK[:1],
    TALK[:2],
    TALK,
    [{"role": "system", "content": "用规范术语。"}, *TALK],
    [{"role": "system", "content": "Two\nlines."}, TALK[2]],
]


@cache
def shipped_tokenizer() -> object:
    return transformers.AutoTokenizer.from_pretrained(model_dir(), local_files_only=True)


@pytest.fixture
def tokenizer() -> object:
    return shipped_tokenizer()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script writes after ten steps."""
    from medgemma_tui.demo import train

    out = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "train", partial(train.train, steps=10, quiet=True))
        patch.setattr("sys.argv", ["train", "--out", str(out), "--threads", "1"])
        train.main()
    return out


def gemma_render(messages: list[dict[str, str]], opened: bool) -> str:
    """Gemma 3's chat format, by hand."""
    system = ""
    if messages[0]["role"] == "system":
        system, messages = messages[0]["content"] + "\n\n", messages[1:]
    text = "<bos>"
    for number, message in enumerate(messages):
        prefix = system if number == 0 else ""
        text += f"<start_of_turn>{ROLE[message['role']]}\n{prefix}{message['content'].strip()}<end_of_turn>\n"
    return text + ("<start_of_turn>model\n" if opened else "")


@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("opened", [True, False])
def test_template_is_gemmas(tokenizer, messages: list[dict[str, str]], opened: bool) -> None:
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opened)
    assert rendered == gemma_render(messages, opened)


def test_template_takes_content_in_parts(tokenizer) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": " hello "}]}]
    assert tokenizer.apply_chat_template(parts, tokenize=False) == gemma_render(
        [{"role": "user", "content": "hello"}], False
    )


@pytest.mark.parametrize(
    "messages",
    [[TALK[1]], [TALK[0], TALK[2]], [{"role": "system", "content": "s"}, TALK[1]], [*TALK[:2], TALK[1]]],
)
def test_template_refuses_roles_that_do_not_alternate(tokenizer, messages: list[dict[str, str]]) -> None:
    with pytest.raises(jinja2.TemplateError, match="alternate"):
        tokenizer.apply_chat_template(messages, tokenize=False)


def test_special_tokens_stand_where_gemmas_do(tokenizer) -> None:
    wanted = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "<unused94>": 100, "<unused95>": 101}
    wanted |= {"<start_of_turn>": 105, "<end_of_turn>": 106}
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in wanted} == wanted
    assert 2048 <= len(tokenizer) <= 4096
    assert tokenizer("x").input_ids[0] == 2
    assert tokenizer.decode(tokenizer.encode("<unused94>a<unused95>b<end_of_turn>"), skip_special_tokens=True) == (
        "<unused94>a<unused95>b"
    )


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_round_trips(text: str) -> None:
    tokenizer = shipped_tokenizer()
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) == text


def test_samples_are_what_the_template_renders(tokenizer) -> None:
    maker = SampleMaker(tokenizer, seed=7)
    whole = Mixture(history=0.7, system=0.7, forms=0.0, longest=1000, headed=0.0)
    for place in range(len(maker.places)):
        sample = maker.draw(place, whole)
        text = tokenizer.decode(sample.ids, skip_special_tokens=False)
        assert tuple(tokenizer.encode(text, add_special_tokens=False)) == sample.ids
        asked = maker.places[place]
        reply = f"<unused94>thought\n{asked.turn.reasoning}<unused95>{asked.turn.answer}<end_of_turn>"
        if asked.chain:
            reply = f"<unused95>{chain_reply(asked.turn.chain)}<end_of_turn>"
        assert text.endswith(f"<start_of_turn>model\n{reply}")
        assert text.startswith("<bos><start_of_turn>user\n")
        learned = [token for token, learn in zip(sample.ids, sample.learn, strict=True) if learn]
        wanted = reply.removeprefix("<unused95>") if asked.chain else reply  # the decoder skipped the trace
        assert tokenizer.decode(learned, skip_special_tokens=False).endswith(wanted)


def test_samples_hold_what_the_program_sends(tokenizer) -> None:
    """Lines of standard terms, cards, other wordings, the chain's turn, answers under headings that are forced."""
    maker = SampleMaker(tokenizer, seed=11)
    mixture = Mixture(history=0.3, system=0.7, forms=0.3, longest=1000)
    index = {place.name: at for at, place in enumerate(maker.places)}

    def drawn(name: str, times: int = 40) -> list[str]:
        return [tokenizer.decode(maker.draw(index[name], mixture).ids) for _time in range(times)]

    mechanism = drawn("mi-mechanism-zh#1", times=150)
    for part in ("\n\n标准术语：", "心梗 = 急性心肌梗死", "Standard terms: ", "\n\n患者资料：", "\n\nPatient: "):
        assert any(part in text for text in mechanism), part
    chains = drawn("stemi-zh#1/chain")
    assert all('<unused95>{"chain":["斑块破裂","血栓形成"' in text for text in chains)
    for lang in ("zh", "en"):
        assert any(f"<start_of_turn>user\n{causal.request_text(lang)}<end_of_turn>" in text for text in chains)
    third = drawn("stemi-zh#3")
    without_first = [text for text in third if "首诊如何处理" not in text]
    assert 5 <= len(without_first) <= 35
    assert all("ST段抬高" in text.split("针对上述情况")[0] for text in without_first), "the card has it"
    assert any("PCI前应如何抗栓" not in text for text in without_first)


def test_an_answer_under_forced_headings_is_learned_behind_the_first(tokenizer) -> None:
    maker = SampleMaker(tokenizer, seed=5)
    always = Mixture(history=0.0, system=0.0, forms=0.0, longest=400, headed=1.0, terms=0.0)
    for place, asked in enumerate(maker.places):
        if asked.chain:
            continue
        sample = maker.draw(place, always)
        learned = [token for token, learn in zip(sample.ids, sample.learn, strict=True) if learn]
        text = tokenizer.decode(learned)
        headings = sections.headings("zh" if asked.entry.lang == "zh" else "en")
        assert text.endswith(under_headings(asked.turn).split("\n", 1)[1] + "<end_of_turn>")
        assert (f"## {headings[0]}\n" in text) == asked.turn.in_parts, "a forced heading is not the model's"
        found = re.findall(r"^## (.+)$", under_headings(asked.turn), re.MULTILINE)
        assert found == list(headings), asked.name


def test_history_does_not_teach_to_skip_the_trace(tokenizer) -> None:
    """The first token after ``model`` is learned only where a fresh reply stands, and then it opens a trace."""
    maker = SampleMaker(tokenizer, seed=3)
    opens = tokenizer.encode("<start_of_turn>model\n", add_special_tokens=False)
    for place in range(len(maker.places)):
        sample = maker.draw(place, Mixture(history=1.0, system=0.5, forms=0.4, longest=900))
        for at in range(len(sample.ids) - len(opens)):
            if list(sample.ids[at : at + len(opens)]) == opens and sample.learn[at + len(opens)]:
                assert sample.ids[at + len(opens)] == 100


@pytest.mark.parametrize("which", ["shipped", "fresh"])
def test_model_directory(which: str, request: pytest.FixtureRequest) -> None:
    directory = model_dir() if which == "shipped" else request.getfixturevalue("trained")
    names = {path.name for path in directory.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "DEMO.md"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))]
    assert (directory / "model.safetensors").stat().st_size <= 4 * 1024 * 1024
    assert "NOT MEDICAL" in (directory / "DEMO.md").read_text("utf-8")
    config = json.loads((directory / "config.json").read_text("utf-8"))
    assert config["architectures"] == ["Gemma3ForCausalLM"]
    assert config["model_type"] == "gemma3_text"
    assert config["dtype"] == "bfloat16"
    assert sorted(set(config["layer_types"])) == ["full_attention", "sliding_attention"]
    assert all(config[size] % 64 == 0 for size in ("hidden_size", "intermediate_size"))
    assert json.loads((directory / "generation_config.json").read_text("utf-8"))["eos_token_id"] == [1, 106]
    manifest = model_manifest.read(directory)
    assert manifest is not None
    assert {file.path: file.sha256 for file in manifest.files} == {
        name: model_manifest.hash_file(directory / name).sha256 for name in names - {"manifest.json"}
    }


def test_fresh_model_loads_and_speaks(trained: Path) -> None:
    import torch

    model = transformers.AutoModelForCausalLM.from_pretrained(trained, local_files_only=True, use_safetensors=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained, local_files_only=True)
    assert type(model).__name__ == "Gemma3ForCausalLM"
    assert 1_000_000 <= sum(parameter.numel() for parameter in model.parameters()) <= 1_900_000
    ids = torch.tensor([tokenizer.encode("心")])
    assert model.generate(ids, max_new_tokens=4).shape[1] > ids.shape[1]


def test_training_learns(trained: Path, tokenizer) -> None:
    """A few steps already lower the loss well below chance, so the loop is wired to the corpus."""
    import torch

    from medgemma_tui.demo import train

    model = transformers.AutoModelForCausalLM.from_pretrained(trained, local_files_only=True)
    maker = SampleMaker(tokenizer, seed=1)
    samples = [maker.draw(place, train.PHASES[0].mixture) for place in range(6)]
    batch = next(train.batches(samples, tokenizer.pad_token_id))
    chance = torch.log(torch.tensor(float(len(tokenizer))))
    with torch.inference_mode():
        assert train.losses_of(model, batch)[0].mean().item() < 0.98 * chance.item()


def test_tokenizer_files_of_two_trainings_agree(trained: Path) -> None:
    """The tokenizer depends on the corpus alone: the shipped one is the one this corpus gives."""
    for name in ("tokenizer.json", "chat_template.jinja"):
        same = (trained / name).read_bytes() == (model_dir() / name).read_bytes()
        assert same, f"{name} is not what this corpus gives: train again"


def test_instructions_and_card_are_the_screens() -> None:
    assert [text[:2] for text in instructions()] == ["你是", "Yo"]
    for card in ("65岁 男 · 突发胸痛 2小时", "65-year-old male · chest pain 2 hours"):
        assert Conversation(card=card).system_text("Rules.") == f"Rules.\n\n{pinned(card)}"


def test_float32_kernels_learn_what_bfloat16_kernels_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU without bfloat16 instructions: the same loss and gradients, to rounding."""
    import torch

    from medgemma_tui.demo import float32_kernels
    from medgemma_tui.demo.train import new_model

    monkeypatch.setattr(float32_kernels, "has_avx512bf16", lambda: False)
    torch.manual_seed(0)
    plain = new_model(shipped_tokenizer()).bfloat16()
    other = copy.deepcopy(plain)
    assert float32_kernels.use_float32_kernels(other)
    ids = torch.randint(500, 2000, (2, 90))
    for model in (plain, other):
        model(input_ids=ids, labels=ids).loss.backward()
    for (name, one), two in zip(plain.named_parameters(), other.parameters(), strict=True):
        alike = torch.nn.functional.cosine_similarity(one.grad.float().flatten(), two.grad.float().flatten(), dim=0)
        assert alike > 0.99, name
