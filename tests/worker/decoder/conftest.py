"""Models for the decoder's tests, and the oracle: transformers' own ``generate``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from medgemma_tui.worker.types import (
    Channel,
    DecodeEvent,
    DecodeRequest,
    FinishEvent,
    PrefillEvent,
    QueueEvent,
    TokenEvent,
)

DEMO_MODEL = Path(__file__).parents[3] / "medgemma_tui" / "demo" / "model"
VOCABULARY = 512


@dataclass
class Replies:
    """What a decoder said, sorted by request id."""

    tokens: dict[str, list[TokenEvent]] = field(default_factory=dict)
    finish: dict[str, FinishEvent] = field(default_factory=dict)
    prefill: dict[str, list[PrefillEvent]] = field(default_factory=dict)
    queue: dict[str, list[int]] = field(default_factory=dict)
    steps: int = 0

    def take(self, events: Iterable[DecodeEvent]) -> None:
        for event in events:
            match event:
                case TokenEvent():
                    self.tokens.setdefault(event.id, []).append(event)
                case FinishEvent():
                    assert event.id not in self.finish, "finished twice"
                    self.finish[event.id] = event
                case PrefillEvent():
                    self.prefill.setdefault(event.id, []).append(event)
                case QueueEvent():
                    self.queue.setdefault(event.id, []).append(event.position)

    def ids(self, request_id: str, channel: Channel | None = None) -> list[int]:
        return [
            event.token_id for event in self.tokens.get(request_id, []) if channel is None or event.channel is channel
        ]


def follow(decoder, replies: Replies, until: Callable[[Replies], bool]) -> Replies:
    """Step until a condition holds."""
    for _ in range(20_000):
        if until(replies):
            return replies
        replies.take(decoder.step())
    raise AssertionError("it never came to that")


def run(decoder, *requests: DecodeRequest, every: int = 0) -> Replies:
    """Submit everything (one request every so many steps, if ``every``) and step until all is done."""
    replies, waiting = Replies(), list(requests)
    while waiting or not decoder.idle:
        while waiting and (not every or replies.steps % every == 0):
            decoder.submit(waiting.pop(0))
            if every:
                break
        replies.take(decoder.step())
        replies.steps += 1
        assert replies.steps < 20_000
    return replies


@dataclass
class Bench:
    """A model, its special tokens, and ways to ask it."""

    model: object
    ids: object
    tokenizer: object = None
    decoded: object = None  # the model that the decoder is given, if not the oracle's
    fresh: Callable[[], object] = staticmethod(lambda: load_demo())  # noqa: RUF009
    run: Callable[..., Replies] = staticmethod(run)  # noqa: RUF009
    follow: Callable[..., Replies] = staticmethod(follow)  # noqa: RUF009
    replies: type[Replies] = Replies
    generated: dict[tuple[tuple[int, ...], int], list[int]] = field(default_factory=dict)

    def generate(self, prompt: Sequence[int], count: int) -> list[int]:
        """What transformers' greedy ``generate`` adds to the prompt, with its own DynamicCache."""
        import torch

        known = (tuple(prompt), count)
        if known in self.generated:
            return list(self.generated[known])
        out = self.model.generate(
            torch.tensor([list(prompt)]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
        )
        self.generated[known] = out[0, len(prompt) :].tolist()
        return list(self.generated[known])

    def argmax(self, sequence: Sequence[int]) -> list[int]:
        """The most likely next token after every prefix of ``sequence``, from one plain forward pass."""
        import torch

        with torch.inference_mode():
            return self.model(torch.tensor([list(sequence)])).logits[0].argmax(-1).tolist()

    def check(self, told: Sequence[int], prompt: Sequence[int], count: int) -> None:
        """``told`` is what ``generate`` adds to the prompt. That is waited for only where the model, reading all at
        once without a cache, does not say the same, token by token."""
        said = list(told)
        if len(said) != count or self.argmax([*prompt, *said])[len(prompt) - 1 : -1] != said:
            assert said == self.generate(prompt, count)

    def decoder(self, **options):
        from medgemma_tui.worker.decoder import Decoder

        return Decoder(self.decoded or self.model, self.ids, **{"slots": 4, "max_model_len": 1024, **options})


@pytest.fixture(scope="session")
def chaos(tmp_path_factory) -> Bench:
    """A random Gemma 3 in fp32 with a window of 64: long replies that do not repeat and hang on all they can see.

    In fp32 no two logits tie, so any slip in a mask, position or ring row changes the tokens. The rows of the head
    that belong to special tokens are zero: it never chooses one by itself.
    """
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from medgemma_tui.worker.thinking import SpecialTokens

    torch.manual_seed(1)
    config = Gemma3TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        query_pre_attn_scalar=32,
        sliding_window=64,
        max_position_embeddings=4096,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        initializer_range=0.1,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=3,
        eos_token_id=[1, 2],
    )
    model = Gemma3ForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight[-6:] = 0
        model.lm_head.weight[:4] = 0
    ids = SpecialTokens(
        trace_open=VOCABULARY - 6,
        trace_close=VOCABULARY - 5,
        start_of_turn=VOCABULARY - 4,
        end_of_turn=2,
        eos=(1, 2),
        thought=(20, 21),
        newlines=frozenset({VOCABULARY - 3}),
        blank_line=(VOCABULARY - 3, VOCABULARY - 3),
    )
    return Bench(model, ids, decoded=copy.deepcopy(model))


def load_demo():
    """The demo model as the box runs it: 4-bit NF4, double quantisation, bfloat16 compute."""
    import torch
    from transformers import BitsAndBytesConfig, Gemma3ForCausalLM

    import medgemma_tui.worker.four_bit  # noqa: F401  bitsandbytes, without the compiler that it would import

    return Gemma3ForCausalLM.from_pretrained(
        DEMO_MODEL,
        dtype=torch.bfloat16,
        device_map="cpu",
        local_files_only=True,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=["lm_head"],
        ),
    ).eval()


@pytest.fixture(scope="session")
def demo() -> Bench:
    """The trained demo model in 4-bit. The oracle's copy and the decoder's are two: the decoder takes short cuts."""
    from transformers import AutoTokenizer

    from medgemma_tui.worker.thinking import SpecialTokens

    model = load_demo()
    tokenizer = AutoTokenizer.from_pretrained(DEMO_MODEL, local_files_only=True)
    ids = SpecialTokens.from_tokenizer(tokenizer, model.generation_config.eos_token_id)
    return Bench(model, ids, tokenizer, load_demo())
