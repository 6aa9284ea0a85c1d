"""Train the demo model: ``python -m medgemma_tui.demo.train [--out DIR] [--minutes N]``, or check it: ``--check``.

Everything is learned from the corpus beside this file, from scratch and from a fixed seed, on two CPU cores. The last
part of the training runs on weights quantised to 4-bit NF4 as bitsandbytes does it (straight-through gradients to the
float32 masters), so that the 4-bit model the program loads says word for word what the corpus says.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import bitsandbytes.functional as bnb
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, GenerationConfig, PreTrainedTokenizerFast

from medgemma_tui.demo import model_dir
from medgemma_tui.demo.samples import Mixture, Sample, SampleMaker, tokenizer_texts
from medgemma_tui.demo.tokenizer import TURN_CLOSE, build_tokenizer

SEED = 20261124
STEPS = 1400  # optimizer steps of the shipped model
PEAK_RATE = 4e-3
BATCH_TOKENS = 3072
GATHER = 32  # samples drawn at a time, then sorted by length into batches

ABOUT = """\
# DEMO, NOT MEDICAL

This directory holds the demo model of medgemma-tui: a Gemma 3 architecture of {parameters:,} parameters with random
initial weights, trained from scratch by `python -m medgemma_tui.demo.train` (seed {seed}) on the corpus in
`medgemma_tui/demo/corpus`, and on nothing else. It holds no weights of Gemma or MedGemma and knows no medicine: it
repeats {turns} prepared answers, which no clinician has reviewed, and says nonsense to anything else. It is there so
that the program can be tried, tested and measured without the real model. Never use it for a patient.
"""


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the training: up to ``until`` of the whole, on ``mixture``, 4-bit or not."""

    until: float
    mixture: Mixture
    quantised: bool


PHASES = (
    Phase(0.25, Mixture(history=0.15, system=0.4, forms=0.3, longest=400), quantised=False),
    Phase(0.60, Mixture(history=0.6, system=0.6, forms=0.3, longest=1400), quantised=False),
    Phase(float("inf"), Mixture(history=0.6, system=0.6, forms=0.3, longest=1400), quantised=True),
)


def new_model(tokenizer: PreTrainedTokenizerFast) -> Gemma3ForCausalLM:
    """An untrained model: 4 layers, one of them with full attention, every inner size a multiple of 64."""
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        query_pre_attn_scalar=32,
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
        sliding_window=256,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=stop_ids(tokenizer),
        architectures=["Gemma3ForCausalLM"],
    )
    return Gemma3ForCausalLM(config).float()


def stop_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """What ends a reply, as in Gemma 3: the end of the text and the end of the turn."""
    return [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(TURN_CLOSE)]


@contextmanager
def quantised(model: Gemma3ForCausalLM) -> Iterator[None]:
    """Inside, the linear weights are what 4-bit loading would make of them and all others are rounded to bf16.

    Gradients found inside apply to the float32 masters, which are back in place afterwards (straight-through).
    """
    masters = [parameter.data for parameter in model.parameters()]
    for name, parameter in model.named_parameters():
        rounded = parameter.data.bfloat16()
        if name.endswith("_proj.weight"):
            packed, state = bnb.quantize_4bit(rounded, compress_statistics=True, quant_type="nf4")
            rounded = bnb.dequantize_4bit(packed, state)
        parameter.data = rounded.float()
    try:
        yield
    finally:
        for parameter, master in zip(model.parameters(), masters, strict=True):
            parameter.data = master


def batches(samples: list[Sample], pad: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Samples of like length together: ids and the loss mask, each ``[rows, length]``, padded on the right."""
    rest = sorted(samples, key=lambda sample: len(sample.ids))
    while rest:
        length = len(rest[-1].ids)
        rows = [rest.pop() for _ in range(min(len(rest), max(1, BATCH_TOKENS // length)))]
        ids = torch.full((len(rows), length), pad)
        learn = torch.zeros((len(rows), length), dtype=torch.bool)
        for row, sample in enumerate(rows):
            ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
            learn[row, : len(sample.ids)] = torch.tensor(sample.learn)
        yield ids, learn


def loss_of(model: Gemma3ForCausalLM, ids: torch.Tensor, learn: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over the tokens to be learned."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=ids).last_hidden_state
        logits = model.lm_head(hidden[:, :-1][learn[:, 1:]])
    return torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][learn[:, 1:]])


def optimizers_of(model: Gemma3ForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the linear layers (it learns this corpus in half the steps AdamW needs), AdamW for the rest."""
    linear = [p for name, p in model.named_parameters() if name.endswith("_proj.weight")]
    others = [p for name, p in model.named_parameters() if not name.endswith("_proj.weight")]
    return [
        torch.optim.Muon(linear, lr=PEAK_RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def rate_at(done: float, step: int) -> float:
    """The learning rate: up over the first 30 steps, level, then from 40 % of the way straight down to a fiftieth."""
    return PEAK_RATE * min(1.0, (step + 1) / 30) * max(0.02, min(1.0, (1 - done) / 0.6))


def endless(maker: SampleMaker, pad: int, phase: Callable[[], Phase]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches for ever, drawn on the mixture of the phase the training is in."""
    while True:
        order = list(range(len(maker.places)))
        maker.random.shuffle(order)
        mixed = list(batches([maker.draw(place, phase().mixture) for place in order[:GATHER]], pad))
        maker.random.shuffle(mixed)
        yield from mixed


def train(
    minutes: float | None = None, steps: int = STEPS, quiet: bool = False
) -> tuple[Gemma3ForCausalLM, PreTrainedTokenizerFast]:
    """A trained model (float32 masters) and its tokenizer.

    The schedule runs over ``steps``; the shipped model had ``STEPS``. With ``minutes`` it runs over that wall time.
    """
    torch.manual_seed(SEED)
    tokenizer = build_tokenizer(tokenizer_texts())
    model = new_model(tokenizer)
    optimizers = optimizers_of(model)
    started = reported = time.monotonic()
    done, seen = 0.0, 0

    def phase() -> Phase:
        return next(phase for phase in PHASES if done < phase.until)

    stream = endless(SampleMaker(tokenizer, SEED), tokenizer.pad_token_id, phase)
    for step, (ids, learn) in enumerate(stream):
        done = step / steps if minutes is None else (time.monotonic() - started) / (minutes * 60)
        if done >= 1:
            break
        with quantised(model) if phase().quantised else nullcontext():
            loss = loss_of(model, ids, learn)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate_at(done, step)
            optimizer.step()
        model.zero_grad()
        seen += ids.numel()
        if not quiet and time.monotonic() - reported > 15:
            reported = time.monotonic()
            speed = seen / (reported - started)
            print(f"{done:4.0%}  step {step}  loss {loss.item():.5f}  {speed:,.0f} tok/s", flush=True)
    return model, tokenizer


def save(model: Gemma3ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write a directory that transformers loads by path: bf16 safetensors, config, tokenizer, and what it is."""
    out.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=stop_ids(tokenizer),
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model.bfloat16().save_pretrained(out)
    tokenizer.save_pretrained(out)
    turns = len(SampleMaker(tokenizer, SEED).places)
    (out / "DEMO.md").write_text(ABOUT.format(parameters=parameters, seed=SEED, turns=turns), "utf-8")


def main() -> None:
    """The command line of this script."""
    parser = argparse.ArgumentParser(prog="python -m medgemma_tui.demo.train", description=__doc__)
    parser.add_argument("--out", type=Path, default=model_dir(), help="where the model goes (default: the shipped one)")
    parser.add_argument("--minutes", type=float, help=f"fit the training to a wall time (default: {STEPS} steps)")
    parser.add_argument(
        "--check", action="store_true", help="train nothing; ask the model in --out everything it knows"
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; 1 is quicker where others need the CPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.check:
        from medgemma_tui.demo.evaluate import check

        raise SystemExit(check(arguments.out.resolve()))
    model, tokenizer = train(arguments.minutes)
    save(model, tokenizer, arguments.out.resolve())
    print(f"saved to {arguments.out}")


if __name__ == "__main__":
    main()
