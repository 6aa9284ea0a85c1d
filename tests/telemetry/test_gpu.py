"""The card reader against a stub NVML library, through the real pynvml, in a process of its own."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time

import pytest

GIB = 1024**3

PROGRAM = """
import dataclasses, json, sys
from medgemma_tui.telemetry.gpu import GpuReader
reader = GpuReader(reopen_s=1.0)
for line in sys.stdin:
    pid = int(line) if line.strip() else None
    reading = reader.read(pid)
    samples = [sample.model_dump() for sample in reading.samples]
    print(json.dumps({**{f.name: getattr(reading, f.name) for f in dataclasses.fields(reading)}, "samples": samples}))
    sys.stdout.flush()
"""


class Probe:
    """A process that reads the cards when told to."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )
        self.pid = self._process.pid

    def read(self, worker_pid: int | None = None) -> dict:
        self._process.stdin.write(f"{'' if worker_pid is None else worker_pid}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the probe died"
        return json.loads(line)

    def card(self, index: int = 0, worker_pid: int | None = None) -> dict:
        reading = self.read(worker_pid)
        assert reading["error"] is None, reading
        return reading["samples"][index]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.fixture
def probe(nvml_stub):
    started = []

    def start() -> Probe:
        started.append(Probe(nvml_stub.env))
        return started[-1]

    yield start
    for each in started:
        each.close()


FIGURES = {
    "utilization": 87,
    "memory_utilization": 45,
    "memory_total": 24 * GIB,
    "memory_used": 6 * GIB,
    "memory_free": 17 * GIB,
    "memory_reserved": 1 * GIB,
    "temperature": 61,
    "temperature_slowdown": 92,
    "power": 68.25,
    "power_limit": 72,
    "clock_sm": 1950,
    "clock_sm_max": 2040,
    "clock_memory": 6251,
    "clock_memory_max": 6251,
    "performance_state": 0,
    "throttle": ["sw_power_cap"],
    "ecc_enabled": True,
    "ecc_corrected": 0,
    "ecc_uncorrected": 0,
    "ecc_corrected_lifetime": 0,
    "ecc_uncorrected_lifetime": 0,
    "mig_enabled": False,
    "persistence": True,
    "compute_capability": "8.9",
}


def test_a_healthy_card_tells_every_figure(nvml_stub, probe):
    reader = probe()
    reading = reader.read(reader.pid)
    assert (reading["driver_version"], reading["nvml_version"]) == ("580.95.05", "13.580.95.05")
    (card,) = reading["samples"]
    assert {key: card[key] for key in FIGURES} == FIGURES
    assert card["name"] == "NVIDIA L4"
    assert card["uuid"].startswith("GPU-5f1c")
    assert card["fan"] is None  # an L4 has none
    assert card["mig"] == []
    assert card["error"] is None


def test_processes_have_owner_program_and_the_worker_is_marked(nvml_stub, probe):
    reader = probe()
    mine, gone = reader.card(worker_pid=reader.pid)["processes"]
    assert mine["pid"] == reader.pid
    assert mine["used_bytes"] == 5 * GIB
    assert mine["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert mine["command"].startswith("python")
    assert mine["is_worker"]
    assert gone == {"pid": 999999, "user": None, "command": None, "used_bytes": None, "is_worker": False, "together": 0}


def test_a_process_in_both_lists_is_one(nvml_stub, probe):
    nvml_stub.set("healthy", _0__compute="self:1000 77:? 99:9", _0__graphics="self:1000 77:500 88:2000 99:?")
    reader = probe()
    assert [(entry["pid"], entry["used_bytes"]) for entry in reader.card()["processes"]] == [
        (88, 2000),
        (reader.pid, 1000),
        (77, 500),
        (99, 9),
    ]


def test_without_permission_for_the_process_list_it_is_unknown_and_not_empty(nvml_stub, probe):
    nvml_stub.set("healthy", _0__compute="!4")
    assert probe().card()["processes"] is None


def test_arguments_of_a_process_never_leave_the_box(nvml_stub, probe):
    patient = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "PATIENT-Zhang"])
    try:
        nvml_stub.set("healthy", _0__compute=f"{patient.pid}:1")
        reading = probe().read()
        assert reading["samples"][0]["processes"][0]["command"].startswith("python")
        assert "PATIENT" not in json.dumps(reading)
    finally:
        patient.kill()
        patient.wait()


def test_a_hot_card_names_its_reasons(nvml_stub, probe):
    nvml_stub.set("hot_throttled")
    card = probe().card()
    assert card["temperature"] == 93
    assert card["throttle"] == ["hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"]


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        ("0x0", []),
        ("0x1", ["idle"]),
        ("0x2", ["applications_clocks"]),
        ("0x10", ["sync_boost"]),
        ("0x100", ["display_clocks"]),
        ("0x8000000000000004", ["sw_power_cap", "unknown"]),
        ("!3", None),
    ],
)
def test_every_throttle_bit_has_its_word(nvml_stub, probe, bits, words):
    nvml_stub.set("healthy", _0__reasons=bits)
    assert probe().card()["throttle"] == words


def test_ecc_counts_since_load_and_over_life(nvml_stub, probe):
    nvml_stub.set("ecc_errors")
    card = probe().card()
    assert [card["ecc_corrected"], card["ecc_uncorrected"]] == [12, 3]
    assert [card["ecc_corrected_lifetime"], card["ecc_uncorrected_lifetime"]] == [4000, 7]


def test_mig_instances_with_gaps_between_their_slots(nvml_stub, probe):
    nvml_stub.set("mig")
    reader = probe()
    card = reader.card()
    assert card["mig_enabled"]
    assert card["utilization"] is None
    assert [(i["index"], i["uuid"], i["memory_total"], i["memory_used"]) for i in card["mig"]] == [
        (0, "MIG-0", 40 * GIB, 2 * GIB),
        (3, "MIG-3", None, None),
    ]
    assert card["mig"][1]["name"] == "NVIDIA A100 MIG 1g.10gb"
    assert [entry["used_bytes"] for entry in card["processes"]] == [5 * GIB]  # one process in two instances


def test_two_cards_are_kept_apart(nvml_stub, probe):
    nvml_stub.set("two_gpus")
    first, second = probe().read()["samples"]
    assert [first["name"], second["name"]] == ["NVIDIA L4", "NVIDIA A10"]
    assert [first["temperature"], second["temperature"]] == [61, 44]
    assert second["utilization"] == 0  # a real zero stays a zero
    assert second["fan"] == 0
    assert second["processes"] == []


def test_what_a_card_does_not_support_is_none_and_never_zero(nvml_stub, probe):
    nvml_stub.set("not_supported")
    card = probe().card()
    known = {"index": 0, "name": "NVIDIA GeForce GT 710", "mig": []}
    assert card == {key: known.get(key) for key in card}


@pytest.mark.parametrize("code", [1, 2, 3, 4, 6, 10, 13, 14, 16, 21, 25, 27, 999, 12345])
def test_any_error_of_one_figure_leaves_the_others(nvml_stub, probe, code):
    """Each NVML error on the power call: the figure is none, or the card or NVML is given up with a reason."""
    nvml_stub.set("healthy", _0__power=f"!{code}")
    reading = probe().read()
    if code == 1:  # uninitialised
        assert reading["error"] == "unknown"
    elif code == 16:
        assert reading["samples"][0]["error_code"] == "reset_required"
    else:
        assert reading["samples"][0]["power"] is None
        assert reading["samples"][0]["temperature"] == 61


def test_not_available_values_are_none(nvml_stub, probe):
    nvml_stub.set("healthy", _0__power="0xFFFFFFFF", _0__pstate="32", _0__memory=f"{2**64 - 1} 5 {2**64 - 1} 0")
    card = probe().card()
    assert card["power"] is None
    assert card["performance_state"] is None
    assert [card["memory_total"], card["memory_used"], card["memory_free"]] == [None, 5, None]


def test_a_lost_card_says_so_the_other_goes_on_and_it_comes_back(nvml_stub, probe):
    nvml_stub.set("two_gpus")
    reader = probe()
    assert reader.card(1)["temperature"] == 44
    nvml_stub.set("lost")
    first, second = reader.read()["samples"]
    assert first["temperature"] == 61
    assert (second["error"], second["error_code"]) == ("GPU is lost", "gpu_lost")
    assert second["name"] == "NVIDIA A10"
    assert second["temperature"] is None
    assert second["processes"] is None
    time.sleep(1.1)  # past reopening: it is still known by name
    reader.read()
    assert reader.card(1)["name"] == "NVIDIA A10"
    nvml_stub.set("two_gpus")
    time.sleep(1.1)
    reader.read()
    back = reader.card(1)
    assert (back["error"], back["temperature"], back["clock_sm_max"]) == (None, 44, 2040)


def test_a_card_that_fell_off_the_bus_stays_on_the_list(nvml_stub, probe):
    """After a fresh start NVML no longer counts it, and the card behind it moves up."""
    nvml_stub.set("two_gpus")
    reader = probe()
    reader.read()
    time.sleep(1.1)
    # Card 0 is gone: NVML lists only the A10, under index 0; an error on it forces the reopening.
    moved = {f"_0__{key}": value for key, value in A10.items()}
    nvml_stub.set("healthy", **moved, _0__lost="1")
    reader.read()
    nvml_stub.set("healthy", **moved)
    present, missing = reader.read()["samples"]
    assert (present["name"], present["temperature"]) == ("NVIDIA A10", 44)
    assert (missing["name"], missing["error_code"], missing["temperature"]) == ("NVIDIA L4", "gpu_lost", None)
    assert present["index"] != missing["index"]


A10 = {"name": "NVIDIA A10", "uuid": "GPU-5f1c0a52-0000-4000-8000-000000000001", "temperature": "44"}


def test_a_card_without_permission_does_not_hide_the_other(nvml_stub, probe):
    nvml_stub.set("two_gpus", _0__handle="!4")
    first, second = probe().read()["samples"]
    assert first["error_code"] == "no_permission"
    assert second["temperature"] == 44


@pytest.mark.parametrize(
    ("scenario", "code", "text"),
    [
        ("no_driver", "driver_not_loaded", "NVML: driver not loaded"),
        ("no_permission", "no_permission", "NVML: no permission to read the GPU"),
        ("no_device", "no_device", "NVML: the driver finds no GPU"),
        ("no_library", "library_not_found", "NVML: library not found; no NVIDIA driver is installed"),
    ],
)
def test_no_nvml_gives_a_reason_and_is_tried_again(nvml_stub, probe, scenario, code, text):
    nvml_stub.set(scenario)
    reader = probe()
    reading = reader.read()
    assert (reading["error"], reading["error_text"], reading["samples"]) == (code, text, [])
    nvml_stub.set("healthy")
    assert reader.read()["error"] == code  # not tried again at once
    time.sleep(1.1)
    assert reader.card()["temperature"] == 61


def test_the_driver_is_unloaded_and_loaded_again(nvml_stub, probe):
    reader = probe()
    reader.card()
    nvml_stub.set("no_driver", _0__temperature="!9", count="!9")
    assert reader.read()["error"] == "driver_not_loaded"
    nvml_stub.set("healthy")
    time.sleep(1.1)
    assert reader.card()["temperature"] == 61


def test_a_driver_from_before_the_newer_calls_still_tells_what_it_can(nvml_stub, probe):
    nvml_stub.set("old_driver")
    reader = probe()
    card = reader.card()
    # Its memory call has no reserved share and counts it as used; MIG was not known to it.
    old = FIGURES | {"memory_used": 7 * GIB, "memory_reserved": None, "mig_enabled": None}
    assert {key: card[key] for key in old} == old
    assert [entry["pid"] for entry in card["processes"]] == [reader.pid, 999999]


def test_names_that_are_not_utf8_do_not_break_the_json(nvml_stub, probe):
    nvml_stub.set("healthy", _0__name="Tesla\udcff\udcfe K80")
    assert probe().card()["name"] == "Tesla K80"
