"""What is offered where memory is short really fits, and what would fit is offered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui import demo, memory_words
from medgemma_tui.memory_choices import CONTEXT_BYTES, Ask, breakdown, choices, notes
from medgemma_tui.model_dir import ModelDir, inspect
from medgemma_tui.protocol import GpuProcess
from medgemma_tui.protocol.memory import MemoryHelp
from medgemma_tui.vram import check_fit, kv_bytes, vram_need

GIB = 1 << 30


def medgemma(**changes) -> ModelDir:
    """MedGemma 1.5 4B's figures."""
    figures = {
        "path": Path("/models/medgemma"), "model_type": "gemma3", "text_only": False, "quantization": None,
        "files": (), "weight_bytes": 8_600_000_000, "loaded_bytes": 2_998_480_896, "parameters": 3_880_263_168,
        "context_limit": 131_072, "vocab_size": 262_208, "hidden_size": 2560, "full_layers": 5,
        "sliding_layers": 29, "sliding_window": 1024, "heads": 8, "head_dim": 256, "kv_row_bytes": 4096,
    }  # fmt: skip
    return ModelDir(**{**figures, **changes})


def ask(window=32_768, slots=8, **more) -> Ask:
    return Ask(medgemma(), window, slots, **more)


def held(gib: float, pid: int = 77, **more) -> GpuProcess:
    return GpuProcess(pid=pid, user="carla", command="train.py", used_bytes=int(gib * GIB), **more)


def kinds(found) -> list[str]:
    return [one.kind for one in found]


@given(
    window=st.integers(512, 131_072), slots=st.integers(1, 64), upcasts=st.booleans(),
    available=st.integers(0, 80 * GIB), others=st.lists(st.integers(0, 40 * GIB) | st.none(), max_size=4),
)  # fmt: skip
def test_every_choice_fits_by_the_loaders_own_check(window, slots, upcasts, available, others):
    asked = ask(window, slots, upcasts=upcasts)
    holders = [GpuProcess(pid=10 + at, used_bytes=used) for at, used in enumerate(others)]
    found = choices(asked, available, holders)
    for choice in found:
        given_back = sum(one.used_bytes for one in choice.processes)
        assert choice.available == available + given_back
        assert choice.needed <= choice.available
        check_fit(asked.model, choice.window, choice.slots, choice.available - CONTEXT_BYTES, upcasts=upcasts)
        assert choice.window <= window
        assert choice.slots <= slots
        told = {"max_model_len": choice.window, "slots": choice.slots}
        assert {**{"max_model_len": window, "slots": slots}, **choice.settings} == told
    everything = available + sum(used or 0 for used in others)
    assert bool(found) == (asked.smallest <= everything or asked.need() <= everything)
    assert ("again" in kinds(found)) == (asked.need() <= available)


@given(window=st.integers(512, 131_072), slots=st.integers(1, 64), upcasts=st.booleans())
def test_the_parts_are_the_sum_that_the_loader_reckons(window, slots, upcasts):
    need = breakdown(ask(window, slots, upcasts=upcasts))
    assert need.total == sum(part.size for part in need.parts)
    assert need.total == CONTEXT_BYTES + vram_need(medgemma(), window, slots, upcasts=upcasts)
    conversations = next(part.size for part in need.parts if part.name == "conversations")
    assert conversations >= slots * kv_bytes(medgemma(), window)


@given(available=st.integers(4 * GIB, 12 * GIB))
def test_the_window_and_the_conversations_offered_are_the_most_that_fit(available):
    asked = ask()
    for choice in choices(asked, available):
        if choice.kind == "window" and asked.need() > available:
            assert asked.need(choice.window + 256) > available
        if choice.kind == "slots":
            assert asked.need(slots=choice.slots + 1) > available


def test_a_smaller_window_or_fewer_conversations():
    found = choices(ask(), 9 * GIB)
    assert kinds(found) == ["window", "slots"]
    assert 4096 <= found[0].window < 32_768
    assert found[0].settings == {"max_model_len": found[0].window}
    assert found[1].settings == {"slots": found[1].slots}
    assert found[1].window == 32_768


def test_both_where_either_alone_would_leave_too_little():
    found = choices(ask(), int(4.8 * GIB))
    assert kinds(found) == ["both"]
    assert set(found[0].settings) == {"max_model_len", "slots"}


def test_a_middle_way_where_one_conversation_alone_would_be_left():
    window, slots, both = choices(ask(), 6 * GIB)
    assert (window.kind, slots.kind, both.kind) == ("window", "slots", "both")
    assert window.window < 4096 <= both.window
    assert slots.slots < both.slots < 8


def test_who_alone_holds_enough_is_named_the_smallest_first():
    big, enough, small = held(20, 1), held(8, 2), held(1, 3)
    found = [one for one in choices(ask(), 9 * GIB, [big, enough, small]) if one.kind == "ask_owner"]
    assert [[process.pid for process in one.processes] for one in found] == [[2], [1]]


def test_several_are_named_only_where_none_alone_is_enough():
    found = choices(ask(), int(4.2 * GIB), [held(3, 1), held(5, 2), held(1, 3)])
    asked = [one for one in found if one.kind == "ask_owner"]
    assert [[process.pid for process in one.processes] for one in asked] == [[2, 1]]


def test_freed_memory_and_smaller_settings_together():
    found = choices(ask(), 3 * GIB, [held(2)])
    assert kinds(found) == ["ask_owner"]
    assert found[0].settings
    assert found[0].processes == [held(2)]


def test_it_fits_now_and_half_the_window_leaves_room():
    found = choices(ask(), 16 * GIB)
    assert kinds(found) == ["again", "window"]
    assert found[1].window == 16_384
    assert kinds(choices(ask(window=900), 16 * GIB)) == ["again"]


def test_nothing_fits_and_why():
    asked = ask()
    assert choices(asked, 2 * GIB, [held(1)]) == []
    figures = {"at": 1.0, "reason": "out_of_memory", "device": "gpu", "smallest": asked.smallest}
    small = MemoryHelp(**figures, total=3 * GIB, available=2 * GIB)
    assert "needs another card" in memory_words.nothing_fits(small)
    busy = MemoryHelp(**figures, total=24 * GIB, available=2 * GIB)
    assert "as things are" in memory_words.nothing_fits(busy)
    assert "2.0 GiB can be had" in memory_words.nothing_fits(busy)
    fits = MemoryHelp(**figures, total=24 * GIB, available=20 * GIB, choices=choices(asked, 20 * GIB))
    assert memory_words.nothing_fits(fits) == ""


# --- other forms of the checkpoint, from real files ---


def add_tensor(file: Path, name: str, size: int) -> None:
    """One more tensor in a safetensors file."""
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    header[name] = {"dtype": "BF16", "shape": [size // 2], "data_offsets": [len(data), len(data) + size]}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data + bytes(size))


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "model"
    shutil.copytree(demo.model_dir(), path)
    return path


def test_a_vision_tower_saves_disk_and_no_memory(directory):
    before = inspect(directory)
    assert "text_only" not in {note.kind for note in notes(before)}
    add_tensor(directory / "model.safetensors", "vision_tower.patch.weight", 65_536)
    after = inspect(directory)
    assert after.loaded_bytes == before.loaded_bytes
    found = {note.kind: note for note in notes(after)}
    assert (found["text_only"].saves, found["text_only"].saves_on_disk) == (0, 65_536)
    assert "saves no memory" in memory_words.note_text(found["text_only"])


def test_what_a_checkpoint_quantised_beforehand_saves(directory):
    model = inspect(directory)
    found = {note.kind: note for note in notes(model)}
    if model.quantization is not None:
        assert "prequantised" not in found
        return
    note = found["prequantised"]
    assert 0 < note.saves < model.loaded_bytes  # one matrix in 16 bits
    assert note.saves_on_disk == model.weight_bytes - model.loaded_bytes
    assert "the same memory once it is loaded" in memory_words.note_text(note)


# --- words ---


def test_each_choice_is_told_with_its_figures_and_its_lines():
    found = choices(ask(), 9 * GIB, [held(8, 5)])
    told = [memory_words.choice_text(one) for one in found]
    assert told[0] == f"A smaller window: {found[0].window:,} tokens. Needs 9.0 GiB of 9.0 GiB."
    assert told[1].startswith("Fewer conversations at once: 4.")
    assert "carla, process 5 (train.py), holding 8.0 GiB" in told[2]
    assert memory_words.settings_lines(found[0]) == [f"max_model_len = {found[0].window}"]
    others = choices(ask(), 5 * GIB, [GpuProcess(pid=0, together=2, used_bytes=9 * GIB)])[-1]
    assert "the box's staff" in memory_words.choice_text(others)
    assert "2 other processes" in memory_words.choice_text(others)


def test_names_of_strangers_are_made_safe():
    evil = GpuProcess(pid=9, user="car\x1b[31mla", command="x\x9b2J\ny", used_bytes=GIB)
    line = memory_words.holder(evil)
    assert "\x1b" not in line
    assert "\x9b" not in line
    assert "\n" not in line


def test_sizes():
    assert memory_words.size(None) == "n/a"
    assert memory_words.size(0) == "0.0 GiB"
    assert memory_words.size(38 * 1024**2) == "38 MiB"
    assert memory_words.size(3 * GIB) == "3.0 GiB"
