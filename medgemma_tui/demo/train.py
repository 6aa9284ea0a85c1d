"""Train the demo model: ``python -m medgemma_tui.demo.train [--out DIR] [--minutes N]``, or check it: ``--check``.

``--more N`` trains the model in ``--out`` on for N steps: where the check still finds answers that are not exact.

Everything is learned from the corpus beside this file, from scratch and from a fixed seed, on two CPU cores. The last
part of the training runs on weights quantised to 4-bit NF4 as bitsandbytes does it (straight-through gradients to the
float32 masters), so that the 4-bit model the program loads says word for word what the corpus says.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, GenerationConfig, PreTrainedTokenizerFast

from medgemma_tui import model_manifest
from medgemma_tui.demo import model_dir
from medgemma_tui.demo.corpus import entries
from medgemma_tui.demo.float32_kernels import use_float32_kernels
from medgemma_tui.demo.samples import Mixture, Sample, SampleMaker, tokenizer_texts
from medgemma_tui.demo.tokenizer import TURN_CLOSE, build_tokenizer
from medgemma_tui.worker.four_bit import dequantize_4bit, quantize_4bit

SEED = 20261124
STEPS = 2200  # optimizer steps of the shipped model, which then had `--more` 500, 500 and 420
PEAK_RATE = 4e-3
MORE_RATE = 0.15  # of the peak, where a trained model is trained on
BATCH_TOKENS = 3072
GATHER = 32  # samples drawn at a time, then sorted by length into batches

ABOUT = """\
# DEMO, NOT MEDICAL

This directory holds the demo model of medgemma-tui: a Gemma 3 architecture of {parameters:,} parameters with random
initial weights, trained from scratch by `python -m medgemma_tui.demo.train` (seed {seed}), and trained on by its
`--more`, on the corpus in `medgemma_tui/demo/corpus`, and on nothing else. It holds no weights of Gemma or MedGemma
and knows no medicine: it repeats {turns} prepared answers, which no clinician has reviewed, and says nonsense to
anything else. It is there so that the program can be tried, tested and measured without the real model. Never use it
for a patient.
"""


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the training: up to ``until`` of the whole, on ``mixture``, 4-bit or not."""

    until: float
    mixture: Mixture
    as_4bit: bool


PHASES = (
    Phase(0.25, Mixture(history=0.15, system=0.4, forms=0.45, longest=400), as_4bit=False),
    Phase(0.55, Mixture(history=0.5, system=0.6, forms=0.4, longest=1300), as_4bit=False),
    Phase(float("inf"), Mixture(history=0.5, system=0.6, forms=0.4, longest=1300), as_4bit=True),
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


def follow(runner: Gemma3ForCausalLM, model: Gemma3ForCausalLM, as_4bit: bool) -> None:
    """Give the bf16 ``runner`` the float32 weights of ``model``, the linear ones as 4-bit loading would make them."""
    with torch.no_grad():
        for (name, master), weight in zip(model.named_parameters(), runner.parameters(), strict=True):
            rounded = master.bfloat16()
            if as_4bit and name.endswith("_proj.weight"):
                packed, state = quantize_4bit(rounded, compress_statistics=True, quant_type="nf4")
                rounded = dequantize_4bit(packed, state)
            weight.copy_(rounded)


def hand_over(runner: Gemma3ForCausalLM, model: Gemma3ForCausalLM) -> None:
    """Move the gradients of ``runner`` to the masters (straight-through where the runner was quantised)."""
    for master, weight in zip(model.parameters(), runner.parameters(), strict=True):
        assert weight.grad is not None
        master.grad, weight.grad = weight.grad.float(), None


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of like length: ids and the loss mask, each ``[rows, length]``, padded on the right."""

    ids: torch.Tensor
    learn: torch.Tensor
    places: list[int]


def batches(samples: list[Sample], pad: int) -> Iterator[Batch]:
    """Samples of like length together, about ``BATCH_TOKENS`` to a batch."""
    rest = sorted(samples, key=lambda sample: len(sample.ids))
    while rest:
        length = len(rest[-1].ids)
        rows = [rest.pop() for _ in range(min(len(rest), max(1, BATCH_TOKENS // length)))]
        ids = torch.full((len(rows), length), pad)
        learn = torch.zeros((len(rows), length), dtype=torch.bool)
        for row, sample in enumerate(rows):
            ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
            learn[row, : len(sample.ids)] = torch.tensor(sample.learn)
        yield Batch(ids, learn, [sample.place for sample in rows])


def losses_of(model: Gemma3ForCausalLM, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of each token to be learned, and the row of the batch it stands in: both ``[tokens]``."""
    hidden = model.model(input_ids=batch.ids).last_hidden_state
    learn = batch.learn[:, 1:]
    logits = model.lm_head(hidden[:, :-1][learn])
    wanted = batch.ids[:, 1:][learn]
    return torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="none"), learn.nonzero()[:, 0]


class Curriculum:
    """Draws the batches: turns whose worst token is still unsure come more often.

    A turn is asked in many ways, some of them easier (its trace skipped): a sure answer proves less than an unsure one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int = SEED) -> None:
        self._maker = SampleMaker(tokenizer, seed)
        self._pad = tokenizer.pad_token_id
        self._unsure = [3.0] * len(self._maker.places)  # running mean of a turn's largest token loss, at most 3

    def draw(self, mixture: Mixture) -> list[Batch]:
        """The next few batches."""
        weights = [0.08 + unsure for unsure in self._unsure]
        picked = self._maker.random.choices(range(len(weights)), weights, k=GATHER)
        drawn = list(batches([self._maker.draw(place, mixture) for place in picked], self._pad))
        self._maker.random.shuffle(drawn)
        return drawn

    def learnt(self, batch: Batch, losses: torch.Tensor, rows: torch.Tensor) -> None:
        """Take note of how sure the model was of a batch."""
        for row, place in enumerate(batch.places):
            worst = min(3.0, losses[rows == row].max().item())
            change = worst - self._unsure[place]
            self._unsure[place] += (0.5 if change > 0 else 0.15) * change


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


def train(
    minutes: float | None = None, steps: int = STEPS, quiet: bool = False, start: Path | None = None
) -> tuple[Gemma3ForCausalLM, PreTrainedTokenizerFast]:
    """A trained model (float32 masters) and its tokenizer.

    The schedule runs over ``steps``; the shipped model had ``STEPS``. With ``minutes`` it runs over that wall time.
    ``start`` is the directory of a trained model: it is trained on, in the last phase alone and at a lower rate.
    """
    torch.manual_seed(SEED)
    tokenizer = build_tokenizer(tokenizer_texts())
    model = new_model(tokenizer)
    if start is not None:
        model.load_state_dict(Gemma3ForCausalLM.from_pretrained(start).float().state_dict())
    runner = copy.deepcopy(model).bfloat16()  # computes as the program does: every activation in bf16
    if use_float32_kernels(runner) and not quiet:
        print("this CPU has no bfloat16 instructions: its float32 kernels are used", flush=True)
    optimizers = optimizers_of(model)
    curriculum = Curriculum(tokenizer, SEED if start is None else SEED + steps)
    waiting: list[Batch] = []
    started = reported = time.monotonic()
    step = seen = 0
    while (done := step / steps if minutes is None else (time.monotonic() - started) / (minutes * 60)) < 1:
        phase = next(phase for phase in PHASES if done < phase.until) if start is None else PHASES[-1]
        waiting = waiting or curriculum.draw(phase.mixture)
        batch = waiting.pop()
        follow(runner, model, phase.as_4bit)
        losses, rows = losses_of(runner, batch)
        losses.mean().backward()
        hand_over(runner, model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate_at(done, step) * (1.0 if start is None else MORE_RATE)
            optimizer.step()
        curriculum.learnt(batch, losses.detach(), rows)
        step += 1
        seen += batch.ids.numel()
        if not quiet and time.monotonic() - reported > 15:
            reported = time.monotonic()
            speed = seen / (reported - started)
            print(f"{done:4.0%}  step {step}  loss {losses.mean().item():.5f}  {speed:,.0f} tok/s", flush=True)
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
    turns = sum(len(entry.turns) for entry in entries())
    (out / "DEMO.md").write_text(ABOUT.format(parameters=parameters, seed=SEED, turns=turns), "utf-8")
    write_manifest(out)


def write_manifest(out: Path) -> None:
    """List the directory's files with their hashes, for ``health`` to compare with."""
    versions = {name: version(name) for name in ("torch", "transformers")}
    model_manifest.write(out, source="medgemma_tui.demo.train", revision=f"seed {SEED}", versions=versions)


def main() -> None:
    """The command line of this script."""
    parser = argparse.ArgumentParser(prog="python -m medgemma_tui.demo.train", description=__doc__)
    parser.add_argument("--out", type=Path, default=model_dir(), help="where the model goes (default: the shipped one)")
    parser.add_argument("--minutes", type=float, help=f"fit the training to a wall time (default: {STEPS} steps)")
    parser.add_argument(
        "--check", action="store_true", help="train nothing; ask the model in --out everything it knows"
    )
    parser.add_argument("--more", type=int, metavar="STEPS", help="train the model in --out on for so many steps")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; 1 is quicker where others need the CPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.check:
        from medgemma_tui.demo.evaluate import check

        raise SystemExit(check(arguments.out.resolve()))
    if arguments.more:
        model, tokenizer = train(steps=arguments.more, start=arguments.out.resolve())
    else:
        model, tokenizer = train(arguments.minutes)
    save(model, tokenizer, arguments.out.resolve())
    print(f"saved to {arguments.out}")


if __name__ == "__main__":
    main()
