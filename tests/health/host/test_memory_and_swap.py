"""RAM for the model and swap: a model larger than the box, a control group's limit, a swap table."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys

import pytest

from medgemma_tui import demo
from medgemma_tui.health.checks.host import memory, swap
from medgemma_tui.health.context import Once
from medgemma_tui.protocol import Finding, Health, ModelCard, PrivacyReport, ProcessPrivacy
from tests.health.chinese import in_chinese
from tests.health.looking import context, look

GIB = 2**30


def test_the_demo_fits(tmp_path):
    seen = look(memory.CHECK, context(tmp_path, phase="preflight", demo=True))
    assert seen.told in (("enough", "ok"), ("low", "warning"))
    assert seen.figure("memory_available") > 0
    assert seen.figure("memory_needed") > memory.MARGIN


@pytest.fixture
def large_model(tmp_path):
    """The demo model beside a tensor of so many bytes, of which the disk holds nothing."""

    def make(size: int):
        place = tmp_path / "model"
        shutil.copytree(demo.model_dir(), place)
        weights = place / "model.safetensors"
        raw = weights.read_bytes()
        (length,) = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8 : 8 + length])
        end = max(tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__")
        header["unused"] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
        head = json.dumps(header).encode()
        weights.write_bytes(struct.pack("<Q", len(head)) + head + raw[8 + length :])
        os.truncate(weights, 8 + len(head) + end + size)
        return place

    return make


def test_files_that_are_larger_than_memory(tmp_path, large_model):
    """The weights that are kept would fit, and the files pass through memory piece by piece."""
    model = large_model(4096 * GIB)
    seen = look(memory.CHECK, context(tmp_path, phase="preflight", model=model))
    assert seen.told == ("tight", "warning")
    assert "loading the model needs 4,097.0 GiB" in seen.text
    assert "MemoryMax=" in seen.advice
    assert "4,097.0 GiB" in in_chinese(seen.result)


@pytest.fixture
def group(tmp_path, monkeypatch):
    """This process in a control group of version 2 with these limits, in bytes."""

    def put(limit: int | str, used: int, reclaimable: int = 0) -> None:
        place = tmp_path / "cgroup" / "system.slice" / "medgemma.service"
        place.mkdir(parents=True)
        (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text(f"{used}\n")
        (place / "memory.stat").write_text(f"anon 1\ninactive_file {reclaimable}\n")
        own = tmp_path / "own"
        own.write_text("1:name=systemd:/\n0::/system.slice/medgemma.service\n")
        monkeypatch.setattr(memory, "_OWN_GROUPS", own)
        monkeypatch.setattr(memory, "_GROUPS", tmp_path / "cgroup")

    return put


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ((GIB, GIB - 2**20), ("exhausted", "critical")),
        ((GIB, GIB // 2), ("too_little", "critical")),
        ((GIB, GIB - 2**20, 3 * 2**30 // 4), ("too_little", "critical")),  # files that can be dropped count as free
    ],
)
def test_a_units_limit(tmp_path, group, limits, told):
    group(*limits)
    seen = look(memory.CHECK, context(tmp_path, phase="preflight", demo=True))
    assert seen.told == told
    assert "MemoryMax=" in seen.advice
    in_chinese(seen.result)


def test_no_limit(tmp_path, group):
    group("max", GIB)
    assert memory._group_headroom(memory._OWN_GROUPS) is None


@pytest.fixture
def loaded(tmp_path):
    """Surroundings with a loaded worker, a process that holds next to nothing."""
    worker = subprocess.Popen(["sleep", "60"])
    surroundings = context(tmp_path, tmp_path / "socket", demo=True)
    health = Health(status="ok", reason="ready", worker_pid=worker.pid, model=ModelCard(id="demo"))
    surroundings.health = Once(lambda: health)
    yield surroundings
    worker.kill()
    worker.wait()


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (2 * GIB, ("enough_running", "ok")),
        (GIB - 300 * 2**20, ("no_restart", "warning")),
        (400 * 2**20, ("low", "warning")),
        (100 * 2**20, ("exhausted", "critical")),
    ],
)
def test_beside_a_loaded_model(loaded, group, limit, told, tmp_path, monkeypatch):
    """The limit is the service's, and this run, which a timer has started, is in a group of its own without one."""
    group(limit, 0)
    worker = tmp_path / "proc" / str(loaded.health().worker_pid)
    worker.mkdir(parents=True)
    (tmp_path / "own").rename(worker / "cgroup")
    (tmp_path / "own").write_text("0::/system.slice/medgemma-health.service\n")
    monkeypatch.setattr(memory, "_PROCESSES", tmp_path / "proc")
    seen = look(memory.CHECK, loaded)
    assert seen.told == told
    assert bool(seen.advice) == (told[1] != "ok")
    in_chinese(seen.result)


def test_a_model_that_cannot_be_read_and_another_engine(tmp_path):
    assert look(memory.CHECK, context(tmp_path, phase="preflight", model=tmp_path / "none")).told == ("no_model", "ok")
    other = context(tmp_path, phase="preflight", engine_socket=tmp_path / "engine")
    assert look(memory.CHECK, other).told == ("available", "ok")


# --- swap ---

_SWAPS = """
import json, sys
from pathlib import Path
from medgemma_tui.health.checks.host import swap
from tests.health.looking import context, look
seen = look(swap.CHECK, context(Path(sys.argv[1]), phase="preflight", demo=True))
print(json.dumps([*seen.told, seen.text, seen.advice]))
"""


def with_swaps(tmp_path, *lines: str):
    """What the check tells where the kernel's table has these lines: in a mount namespace of its own."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("showing another /proc/swaps needs root and unshare")
    table = tmp_path / "swaps"
    table.write_text("Filename\tType\tSize\tUsed\tPriority\n" + "".join(f"{line}\n" for line in lines))
    script = 'mount --bind "$1" /proc/swaps && shift && exec "$@"'
    command = ["unshare", "-m", "--propagation=private", "sh", "-c", script, "sh", str(table)]
    done = subprocess.run([*command, sys.executable, "-c", _SWAPS, str(tmp_path)], capture_output=True, text=True)
    if "mount" in done.stderr:
        pytest.skip(f"this system does not let root do that: {done.stderr[-100:]}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_plain_swap(tmp_path):
    code, status, text, advice = with_swaps(tmp_path, "/dev/no-such-disk\tpartition\t1000\t0\t-2")
    assert (code, status) == ("plain", "warning")
    assert "not encrypted (/dev/no-such-disk)" in text
    assert "swapoff -a" in advice


def test_no_swap(tmp_path):
    assert with_swaps(tmp_path)[:2] == ["off", "ok"]


def told_by(tmp_path, **codes: str):
    """With a service whose processes say this of their swap."""
    processes = [
        ProcessPrivacy(
            process=name, pid=1,
            findings=[Finding(id="swap", kind="kernel", tried="", said="/dev/sda2", verdict="warning", code=code)],
        )
        for name, code in codes.items()
    ]  # fmt: skip
    surroundings = context(tmp_path, tmp_path / "socket", demo=True)
    surroundings.privacy = Once(lambda: PrivacyReport(processes=processes))
    return look(swap.CHECK, surroundings)


def test_the_services_own_word_counts(tmp_path):
    """This process may have swap that the service's unit refuses it, or the other way round."""
    seen = told_by(tmp_path, gateway="swap_refused", worker="swap_plain")
    assert seen.told == ("plain", "warning")
    assert seen.lines == ("worker: swap is not encrypted (/dev/sda2)",)
    assert told_by(tmp_path, gateway="swap_refused", worker="swap_refused").told == ("refused", "ok")
    assert told_by(tmp_path, gateway="swap_encrypted", worker="swap_none").told == ("encrypted", "ok")
    assert told_by(tmp_path, gateway="swap_memory", worker="swap_none").told == ("memory", "ok")
    unread = told_by(tmp_path, gateway="swap_none", worker="")
    assert unread.told == ("unreadable", "unknown")
    assert unread.lines == ("worker: swap could not be read",)
    assert "模型" in in_chinese(unread.result) or "worker" in in_chinese(unread.result)
