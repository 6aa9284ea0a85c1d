"""gpu.memory and gpu.holders: the sum, who holds the card, and whose end would make room; with real processes."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys

import pytest

from medgemma_tui import demo, vram
from medgemma_tui.memory_choices import CONTEXT_BYTES
from medgemma_tui.model_dir import inspect

GIB = 1 << 30
MIB = 1 << 20


def demo_need(window: int = 4096, slots: int = 8, *, upcasts: bool = False) -> int:
    model = inspect(demo.model_dir())
    return CONTEXT_BYTES + vram.vram_need(model, min(window, model.context_limit), slots, upcasts=upcasts)


def card(free: int, total: int = 24 * GIB, compute: str = "", **lines: str) -> dict[str, str]:
    """Card 0 with so much free."""
    lines |= {"memory": f"{total} {total - free} {free} 0", "compute": compute}
    return {f"_0__{key}": value for key, value in lines.items()}


@pytest.fixture
def other():
    """A process of somebody's that holds memory."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "patient Zhang, 65"])
    yield process
    process.kill()
    process.wait()


def sizes(lines: list[str]) -> list[float]:
    """The sizes of the sum, in its order."""
    return [float(line.removesuffix(".").rsplit(" ", 1)[1]) for line in lines if line[0] in " +="]


def test_the_sum_is_shown_and_adds_up(box):
    box.settings["max_model_len"] = 4096
    box.stub.set("healthy", **card(3 * GIB))
    found = box.check("gpu.memory")
    assert (found.status, found.code) == ("ok", "ok")
    *parts, needed = sizes(found.en["items"])
    assert len(parts) == 6
    assert sum(parts) == pytest.approx(needed, abs=0.03)
    assert needed == pytest.approx(demo_need() / GIB, abs=0.006)
    assert found.en["items"][-1] == "to be had 3.00: free 3.00, held by our own worker 0.00, of 24.00"
    assert "GiB" in found.zh["items"][0]
    figures = {figure["name"]: figure for figure in found.figures}
    assert {figure["label"] for figure in found.figures} == {"0"}
    assert figures["vram_free"]["value"] == 3 * GIB
    assert figures["vram_free"]["critical"] == figures["vram_needed"]["value"] == demo_need()
    assert figures["vram_free"]["below"]
    assert figures["vram_total"]["value"] == 24 * GIB


def test_a_window_that_does_not_fit_names_the_one_that_does(box):
    box.settings |= {"max_model_len": 4096, "slots": 64}
    short = 40 * MIB
    free = demo_need(slots=64) - short
    box.stub.set("healthy", **card(free))
    found = box.check("gpu.memory")
    assert (found.status, found.code) == ("critical", "does_not_fit")
    assert "64 conversations of 4096 tokens" in found.en["text"]
    fits = int(found.params["fits"])
    assert f"max_model_len = {fits}" in found.en["advice"]
    assert f"max_model_len = {fits}" in found.zh["advice"]
    assert demo_need(fits, 64) <= free < demo_need(fits + 128, 64)
    slots = int(found.en["items"][-1].removesuffix(".").rsplit(" ", 1)[1])
    assert demo_need(4096, slots) <= free < demo_need(4096, slots + 1)
    figures = {figure["name"]: figure["value"] for figure in found.figures}
    assert figures["vram_needed"] - figures["vram_free"] == short


def test_a_card_that_is_too_small(box):
    box.stub.set("healthy", **card(200 * MIB, total=1 * GIB))
    found = box.check("gpu.memory")
    assert (found.status, found.code) == ("critical", "too_small")
    assert "smallest window" in found.en["text"]
    assert "more than 1.00 GiB" in found.en["advice"]
    assert "最小窗口" in found.zh["text"]


def test_a_window_that_nobody_chose_may_be_small(box):
    box.settings["slots"] = 64
    box.stub.set("healthy", **card(demo_need(1024, slots=64)))
    found = box.check("gpu.memory")
    assert (found.status, found.code) == ("warning", "small_window")
    assert "conversations of 1024 tokens; 8192 are usual" in found.en["text"]
    assert found.en["advice"]


def test_an_older_card_needs_more(box):
    box.settings |= {"max_model_len": 4096}
    box.stub.set("healthy", **card(3 * GIB, capability="7 5"))
    found = box.check("gpu.memory")
    assert any("fp32" in line for line in found.en["items"])
    figures = {figure["name"]: figure["value"] for figure in found.figures}
    assert figures["vram_needed"] == demo_need(upcasts=True) > demo_need()


def test_memory_that_is_not_told_is_unknown(box):
    box.stub.set("healthy", _0__memory="!3")
    found = box.check("gpu.memory")
    assert (found.status, found.code) == ("unknown", "not_told")
    assert "nvidia-smi" in found.en["advice"]


def test_without_a_usable_model_there_is_no_need_to_reckon(box):
    box.settings = {"model": "/nowhere"}
    box.stub.set("healthy", **card(200 * MIB))
    results = box.all()
    assert (results["gpu.memory"].status, results["gpu.memory"].code) == ("skipped", "no_model")
    assert results["gpu.holders"].code == "ok"


def test_one_card_with_room_and_one_without(box):
    box.stub.set("two_equal_gpus", _1__memory=f"{1 * GIB} {900 * MIB} {124 * MIB} 0", _1__name="NVIDIA T400")
    found = box.check("gpu.memory")
    assert (found.status, found.code) == ("warning", "some_cards")
    assert "no room on GPU 1 (NVIDIA T400)" in found.en["text"]
    assert "CUDA_VISIBLE_DEVICES" in found.en["advice"]
    assert "容不下" in found.zh["text"]


def test_nobody_else_holds_memory(box):
    box.stub.set("healthy", **card(17 * GIB))
    found = box.check("gpu.holders")
    assert (found.status, found.code) == ("ok", "ok")
    assert found.figures[0] == {**found.figures[0], "name": "vram_others", "value": 0}


def test_others_are_told_by_owner_and_program_and_never_by_arguments(box, other):
    box.stub.set("healthy", **card(17 * GIB, compute=f"{other.pid}:{5 * GIB}"))
    found = box.check("gpu.holders")
    assert (found.status, found.code) == ("ok", "others")
    (line,) = found.en["items"]
    assert line.startswith(f"pid {other.pid} ({pwd.getpwuid(os.getuid()).pw_name}, python")
    assert line.endswith("5.00 GiB")
    assert "Zhang" not in str(vars(found))


def test_short_by_one_process_names_it(box, other):
    box.stub.set("healthy", **card(200 * MIB, compute=f"{other.pid}:{20 * GIB} 1:{300 * MIB}"))
    found = box.check("gpu.holders")
    assert (found.status, found.code) == ("warning", "short_enough")
    assert f"enough to end: {other.pid}." in found.en["text"]
    assert f"kill {other.pid}" in found.en["advice"]
    assert f"kill {other.pid}" in found.zh["advice"]
    assert "This one alone would be enough" in found.en["items"][1]
    assert found.en["items"][2].startswith("pid 1 (")


def test_of_several_that_would_do_the_smallest_is_named(box, other):
    box.stub.set("healthy", **card(200 * MIB, compute=f"1:{20 * GIB} {other.pid}:{2 * GIB}"))
    assert box.check("gpu.holders").params["pids"] == str(other.pid)


def test_several_together_make_room(box, other):
    need = demo_need(512)
    half = (need - 200 * MIB) // 2 + MIB
    box.stub.set("healthy", **card(200 * MIB, compute=f"{other.pid}:{half} 1:{half + 1} 2:{MIB}"))
    found = box.check("gpu.holders")
    assert found.code == "short_enough"
    assert found.params["pids"] == f"1, {other.pid}"


def test_what_others_hold_may_not_be_enough(box, other):
    box.stub.set("healthy", **card(200 * MIB, total=1 * GIB, compute=f"{other.pid}:{100 * MIB}"))
    found = box.check("gpu.holders")
    assert (found.status, found.code) == ("warning", "short_anyway")
    assert "would not be enough" in found.en["text"]
    assert "smaller max_model_len" in found.en["advice"]


def test_a_process_that_hides_its_share(box, other):
    box.stub.set("healthy", **card(200 * MIB, compute=f"{other.pid}:? 999999:{MIB}"))
    found = box.check("gpu.holders")
    assert (found.status, found.code) == ("warning", "short")
    assert "2 other processes" in found.en["text"]
    assert any("? GiB" in line for line in found.en["items"])
    assert any("ps -fp 999999" in line for line in found.en["items"])


def test_a_desktop_is_told_by_name(box, tmp_path):
    desktop = tmp_path / "Xorg"
    shutil.copy("/bin/sleep", desktop)
    process = subprocess.Popen([desktop, "600"])
    try:
        box.stub.set("healthy", **card(200 * MIB, compute=f"{process.pid}:{2 * GIB}"))
        found = box.check("gpu.holders")
        assert "multi-user.target" in found.en["items"][1]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("free", "status", "code", "advice"),
    [(17 * GIB, "skipped", "not_told", ""), (200 * MIB, "unknown", "not_told_short", "sudo nvidia-smi")],
)
def test_holders_that_nobody_tells(box, free, status, code, advice):
    box.stub.set("healthy", **card(free, compute="!4"))
    found = box.check("gpu.holders")
    assert (found.status, found.code) == (status, code)
    assert advice in found.en["advice"]


@pytest.mark.e2e
def test_what_our_own_worker_holds_counts_as_room(box, gateway):
    """A real gateway and worker; the stub says that this worker holds the card's memory."""
    worker = gateway.health()["worker_pid"]
    box.settings, box.socket = {"demo": True}, gateway.socket
    box.stub.set("two_gpus", **card(100 * MIB, compute=f"{worker}:{2 * GIB}"), _1__memory=f"{GIB} {GIB} 0 0")
    found = box.check("gpu.memory")
    assert (found.status, found.code) == ("ok", "ok")  # and the other card, which it is not on, does not matter
    assert "held by our own worker 2.00" in found.en["items"][-1]
    figures = {figure["name"]: figure for figure in found.figures}
    assert figures["vram_free"]["critical"] == 0
    (line,) = box.check("gpu.holders").en["items"]
    assert line.startswith(f"pid {worker} (")
    assert line.endswith("2.00 GiB, our own worker")
    box.stub.set("healthy", **card(100 * MIB, compute=f"{worker}:{800 * MIB}"))
    found = box.check("gpu.memory")
    assert (found.status, found.code) == ("warning", "tight")
    assert "the model is loaded" in found.en["text"]
    assert "A long answer may run out" in found.en["advice"]
    assert "模型已加载" in found.zh["text"]
    box.stub.set("healthy", **card(100 * MIB, compute=f"{worker}:?"))
    assert box.check("gpu.memory").code == "loaded"
    assert box.check("gpu.memory").status == "ok"


BAD = {
    "temperature": ("two_gpus", {"_1__temperature": "97"}, "too_hot_beside", "warning"),
    "ecc": ("two_gpus", {"_1__ecc_volatile": "1 4"}, "uncorrected_beside", "warning"),
    "rows": ("two_gpus", {"_1__remapped": "1 1 1 1"}, "failed_remap_beside", "warning"),
    "present": ("lost", {}, "lost_beside", "warning"),
}


@pytest.mark.engine
@pytest.mark.parametrize("name", [*BAD, "permission", "error"])
def test_a_card_that_the_model_is_not_on_does_not_close_the_clinic(box, gateway, name):
    more = {
        "permission": ("two_gpus", {"_1__handle": "!4"}, "no_permission_beside", "warning"),
        "error": ("two_gpus", {"_1__handle": "!999"}, "card_error_beside", "warning"),
    }
    scenario, lines, code, status = (BAD | more)[name]
    check = f"gpu.{name if name in BAD else 'present'}"
    worker = gateway.health()["worker_pid"]
    box.settings, box.socket = {"demo": True}, gateway.socket
    box.stub.set(scenario, **card(10 * GIB, compute=f"{worker}:{12 * GIB}"), **lines)
    found = box.check(check)
    assert (found.status, found.code) == (status, code)
    assert "GPU 1" in found.en["text"]
    assert "模型" in found.zh["text"] + found.zh["advice"]
    assert bool(found.en["advice"]) == (status == "warning")
    box.stub.set(scenario, **card(10 * GIB), **lines)  # and where nobody knows which one it is on, it does
    assert box.check(check).code == code.removesuffix("_beside")
    ours = {key.replace("_1__", "_0__"): value for key, value in lines.items()}
    if ours and name in ("temperature", "ecc", "rows"):
        box.stub.set(scenario, **card(10 * GIB, compute=f"{worker}:{12 * GIB}"), **ours)
        found = box.check(check)
        assert (found.status, found.code) == ("critical", code.removesuffix("_beside"))


@pytest.mark.engine
def test_an_event_of_a_card_that_the_model_is_not_on(box, gateway):
    worker = gateway.health()["worker_pid"]
    box.settings, box.socket = {"demo": True}, gateway.socket
    box.stub.set("two_gpus", **card(10 * GIB, compute=f"{worker}:{12 * GIB}"))
    line = "4,1,1000000,-;NVRM: Xid (PCI:0000:{bus}): 79, pid=1, name=x, GPU has fallen off the bus.\n"
    for bus, code, status in (("b3:00", "hardware_beside", "warning"), ("65:00", "hardware", "critical")):
        box.kmsg("6,0,1,-;Linux version 6.1\n" + line.format(bus=bus))
        found = box.check("gpu.xid")
        assert (found.code, found.status) == (code, status), found
