"""``GET /v1/memory``: a real gateway on a stub NVML, a model directory of MedGemma's size, users of other uids."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_running import STUB, Running, short_directory, wait_for
from other_users import User, needs_root

from medgemma_tui import ask, demo, i18n, plain, plain_ready
from medgemma_tui.gateway import memory_help
from medgemma_tui.memory_choices import CONTEXT_BYTES
from medgemma_tui.model_dir import inspect
from medgemma_tui.protocol import GpuProcess, GpuSample, Health, HostSample, ModelCard, ServiceSample, Telemetry
from medgemma_tui.protocol.memory import MemoryHelp
from medgemma_tui.settings import Settings
from medgemma_tui.vram import check_fit

GIB = 1 << 30
USERS, OPS, AUDITORS = 47210, 47211, 47212  # groups that no system has
ANNA, OPERATOR, AUDITOR = 48101, 48102, 48103
MARKER = "MARKER-31c9-of-somebody-else"
WORKER = Path(__file__).with_name("no_memory_worker.py")


def medgemma_directory(path: Path) -> Path:
    """A directory with MedGemma 4B's configuration and headers; the weights themselves are a hole in the file."""
    path.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (demo.model_dir() / name).exists():
            shutil.copy(demo.model_dir() / name, path / name)
    text = {
        "hidden_size": 2560, "intermediate_size": 10_240, "num_hidden_layers": 34, "num_attention_heads": 8,
        "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262_208, "sliding_window": 1024,
        "sliding_window_pattern": 6, "max_position_embeddings": 131_072,
    }  # fmt: skip
    (path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}))
    shapes = {"language_model.model.embed_tokens.weight": (262_208, 2560)}
    for layer in range(34):
        at = f"language_model.model.layers.{layer}"
        shapes |= {
            f"{at}.self_attn.q_proj.weight": (2048, 2560), f"{at}.self_attn.k_proj.weight": (1024, 2560),
            f"{at}.self_attn.v_proj.weight": (1024, 2560), f"{at}.self_attn.o_proj.weight": (2560, 2048),
            f"{at}.mlp.gate_proj.weight": (10_240, 2560), f"{at}.mlp.up_proj.weight": (10_240, 2560),
            f"{at}.mlp.down_proj.weight": (2560, 10_240),
        }  # fmt: skip
    shapes["vision_tower.vision_model.embeddings.weight"] = (1000, 1000)
    header, end = {}, 0
    for name, (rows, columns) in shapes.items():
        header[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [end, end + 2 * rows * columns]}
        end += 2 * rows * columns
    raw = json.dumps(header).encode()
    with (path / "model.safetensors").open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + end)
    return path


class Holder:
    """A process of another user's, with a marker among its arguments."""

    def __init__(self, uid: int) -> None:
        code = "print('up', flush=True); import time; time.sleep(600)"
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", code, MARKER], stdout=subprocess.PIPE, user=uid, group=uid, extra_groups=[]
        )
        self.process.stdout.readline()
        self.pid = self.process.pid

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def holders():
    made = [Holder(0), Holder(0)]
    yield made
    for one in made:
        one.stop()


@pytest.fixture
def short(nvml_stub, holders, tmp_path, monkeypatch):
    """A gateway whose worker gets no memory on a card that two other processes hold. ``short(code)``."""
    for name, value in nvml_stub.env.items():
        monkeypatch.setenv(name, value)
    compute = f"self:{GIB // 4} {holders[0].pid}:{12 * GIB} {holders[1].pid}:{2 * GIB}"
    nvml_stub.set("healthy", _0__memory=f"{24 * GIB} {17 * GIB} {6 * GIB} {GIB}", _0__compute=compute)
    directory = short_directory()
    directory.chmod(0o755)
    made = []

    def start(code: str = "gpu_loading", *, worker: Path = WORKER, private: bool = False, **settings) -> Running:
        arguments = f", {code!r}" if code else ""
        patch = (
            "import sys, os, medgemma_tui.gateway.serve as serve; from medgemma_tui.gateway.supervisor import Command; "
            f"serve.worker_command = lambda _settings, socket: Command([sys.executable, '-I', {str(worker)!r}, "
            f"str(socket){arguments}], os.environ, socket)"
        )
        given = {
            "model": medgemma_directory(tmp_path / "medgemma"), "max_model_len": 32_768, "slots": 8,
            "restart_limit": 1000, "telemetry_interval_s": 0.2, "users_group": USERS, "ops_group": OPS,
            "auditors_group": AUDITORS, "audit_dir": directory / "audit",
        }  # fmt: skip
        gateway = Running(directory=directory, patch=patch, private=private, **{**given, **settings}).listening()
        made.append(gateway)
        reason = "out_of_memory" if code else "ready"
        wait_for(lambda: gateway.health()["reason"] == reason, what=reason)
        return gateway

    yield start
    for gateway in made:
        gateway.stop()
    shutil.rmtree(directory, ignore_errors=True)


def help_of(reply) -> MemoryHelp:
    assert reply.status_code == 200, reply.text
    return MemoryHelp.model_validate_json(reply.text)


def test_the_figures_the_holders_and_what_fits(short, holders):
    gateway = short()
    told = help_of(gateway.http.get("/v1/memory"))
    assert (told.device, told.gpu, told.gpu_name, told.gpu_assumed) == ("gpu", 0, "NVIDIA L4", False)
    assert (told.total, told.free, told.worker_bytes, told.available) == (24 * GIB, 6 * GIB, 0, 6 * GIB)
    assert (told.need.window, told.need.slots, told.fits) == (32_768, 8, False)
    assert told.need.total == sum(part.size for part in told.need.parts)
    by_pid = {one.pid: one for one in told.holders}
    assert by_pid[holders[0].pid].used_bytes == 12 * GIB
    assert by_pid[holders[0].pid].user == "root"
    assert gateway.process.pid in told.own
    asked = [one for one in told.choices if one.kind == "ask_owner"]
    assert [[process.pid for process in one.processes] for one in asked] == [[holders[0].pid]]  # 2 GiB are not enough
    assert {"window", "slots", "both"} & {one.kind for one in told.choices}
    model = inspect(gateway_model(gateway))
    for one in told.choices:
        check_fit(model, one.window, one.slots, one.available - CONTEXT_BYTES)
    notes = {note.kind: note for note in told.notes}
    assert notes["text_only"].saves == 0
    assert notes["text_only"].saves_on_disk == 2_000_000
    assert notes["prequantised"].saves == 2 * 10_240 * 2560
    assert told.config.endswith("settings.toml")


def gateway_model(gateway: Running) -> Path:
    for line in Path(f"/proc/{gateway.process.pid}/environ").read_bytes().split(b"\0"):
        if line.startswith(b"MEDGEMMA_MODEL="):
            return Path(os.fsdecode(line.partition(b"=")[2]))
    raise AssertionError("no model")


@needs_root
def test_users_see_a_sum_of_the_others_and_ops_may_end(short, holders):
    gateway = short()
    with (
        User(gateway.socket, ANNA, groups=(USERS,)) as anna,
        User(gateway.socket, OPERATOR, groups=(OPS,)) as operator,
        User(gateway.socket, AUDITOR, groups=(AUDITORS,)) as auditor,
    ):
        seen = anna.call("GET", "/v1/memory")
        told = MemoryHelp.model_validate_json(seen.text)
        assert not told.may_end
        assert [(one.pid, one.together) for one in told.holders] == [(0, 3)]
        assert told.holders[0].used_bytes == 14 * GIB + GIB // 4
        asked = [one for one in told.choices if one.kind == "ask_owner"]
        assert [one.processes[0].together for one in asked] == [3]
        for word in (str(holders[0].pid), str(holders[1].pid), "root", MARKER, "python"):
            for part in ("holders", "choices"):  # a pid may be among the digits of a size
                assert not re.search(rf"\b{word}\b", json.dumps(json.loads(seen.text)[part])), word
        told = MemoryHelp.model_validate_json(operator.call("GET", "/v1/memory").text)
        assert told.may_end
        assert {one.pid for one in told.holders} >= {holders[0].pid, holders[1].pid}
        assert auditor.call("GET", "/v1/memory").code == "role_needed"
        for body in (seen.text, told.model_dump_json(), gateway.log.read_text()):
            assert MARKER not in body


def test_it_fits_once_somebody_has_gone(short, holders, nvml_stub):
    gateway = short()
    compute = f"{holders[1].pid}:{2 * GIB}"
    nvml_stub.set("healthy", _0__memory=f"{24 * GIB} {3 * GIB} {20 * GIB} {GIB}", _0__compute=compute)
    told = wait_for(lambda: (now := help_of(gateway.http.get("/v1/memory"))).fits and now, what="the new figures")
    assert [one.kind for one in told.choices] == ["again", "window"]
    assert told.choices[1].window == 16_384


def test_a_card_that_tells_nothing_and_one_that_is_split(short, nvml_stub):
    gateway = short()

    def until(reason: str) -> MemoryHelp:
        return wait_for(lambda: (now := help_of(gateway.http.get("/v1/memory"))).unknown == reason and now, what=reason)

    nvml_stub.set("not_supported")
    told = until("no_figures")
    assert told.choices == []
    assert told.fits is None
    assert told.need is not None  # what is needed is known all the same
    nvml_stub.set("healthy", _0__mig_mode="1")
    assert until("mig").available is None


def test_without_a_model_the_holders_are_told_all_the_same(short, holders):
    gateway = short()
    (gateway_model(gateway) / "config.json").write_text("{")
    told = help_of(gateway.http.get("/v1/memory"))
    assert told.unknown == "model"
    assert told.need is None
    assert {one.pid for one in told.holders} >= {one.pid for one in holders}


def test_host_memory_is_reckoned_where_the_model_runs_on_the_cpu(short):
    told = help_of(short(code="host_loading").http.get("/v1/memory"))
    assert told.device == "host"
    assert told.holders is None
    assert told.available >= told.free > 0
    assert "context" not in {part.name for part in told.need.parts}


def test_an_ending_is_on_record_and_a_text_is_not_taken(short):
    gateway = short()
    event = {"event": "end_process", "outcome": "ok", "counts": {"pid": 4_194_304, "signal": 15}}
    assert gateway.http.post("/v1/events", json=event).status_code == 204
    for bad in ({"command": 1}, {"pid": MARKER}, {"pid": 2**22 + 1}, {"pid": -1}):
        assert gateway.http.post("/v1/events", json={**event, "counts": bad}).status_code == 400
    (record,) = wait_for(lambda: gateway.records("end_process"), what="the record")
    assert (record["uid"], record["outcome"]) == (os.getuid(), "ok")
    assert record["counters"] == {"pid": 4_194_304, "signal": 15}


# --- an answer that runs out of memory, without a screen ---

RUNS_OUT = 'raw={"error":{"type":"out_of_memory","code":"gpu_answering","message":"none"}}'


def test_ask_and_plain_mode_tell_who_holds_it_and_what_would_fit(short, holders, capsys, monkeypatch):
    i18n.set_language("en")
    gateway = short("", worker=STUB)
    settings = Settings(socket=gateway.socket, identifiers="warn", sections="off")
    assert ask.run(settings, RUNS_OUT, as_json=False, seed=None) == 4
    asked = capsys.readouterr()
    assert "GiB" not in asked.out
    lines, plainly = iter([RUNS_OUT, "/quit"]), []
    monkeypatch.setattr(plain, "read_question", lambda: next(lines))
    monkeypatch.setattr(plain, "_tell", plainly.append)
    assert plain.run(settings) == 4
    for said in (asked.err, "\n".join(plainly)):
        after = said[said.index("The GPU has run out of memory. The conversation is kept.") :]
        assert "Needed: 11.9 GiB for 8 conversations of up to 32,768 tokens" in after
        assert "GPU 0, NVIDIA L4: 6.0 GiB of 24.0 GiB free" in after
        assert f"12.0 GiB · root, process {holders[0].pid}" in after
        assert "max_model_len = " in after
        assert "they put these lines into" in after
        assert MARKER not in said


def test_a_gateway_of_ones_own_stays_to_say_what_would_fit(short, capsys, monkeypatch):
    i18n.set_language("en")
    gateway = short(private=True, restart_limit=0)
    wait_for(lambda: "given up" in gateway.health()["detail"], what="the end of the tries")
    assert gateway.process.poll() is None
    settings = Settings(socket=gateway.socket, sections="off")
    assert ask.run(settings, "What does ECG mean?", as_json=False, seed=None) == 4
    asked = capsys.readouterr().err
    assert "There is not enough GPU memory to load the model." in asked
    assert "What would fit:" in asked
    monkeypatch.setattr(plain_ready, "_GIVEN_UP_S", 0.4)
    lines, plainly = iter(["What does ECG mean?", "/quit"]), []
    monkeypatch.setattr(plain, "read_question", lambda: next(lines))
    monkeypatch.setattr(plain, "_tell", plainly.append)
    assert plain.run(settings) == 4
    assert plainly.count("What would fit:") == 2  # while it waits, and when it waits no more


# --- which card, and what the worker holds ---

CARDS = [GpuSample(index=0, uuid="GPU-aaaa", processes=[]), GpuSample(index=1, uuid="GPU-bbbb", processes=[])]
LOST = Health(status="not_ready", reason="out_of_memory", code="gpu_loading")


@pytest.mark.parametrize(
    ("environ", "index", "assumed"),
    [
        ({}, 0, True),
        ({"CUDA_VISIBLE_DEVICES": "1"}, 1, True),  # CUDA numbers the fastest first, unless told otherwise
        ({"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, 1, False),
        ({"CUDA_VISIBLE_DEVICES": "GPU-bb"}, 1, False),
        ({"CUDA_VISIBLE_DEVICES": "7"}, 0, True),
    ],
)
def test_which_card_it_is_about(environ, index, assumed):
    card = memory_help._card(Telemetry(time=1.0, gpus=CARDS), LOST, environ)
    assert (card.gpu.index, card.assumed) == (index, assumed)


def test_the_workers_own_card_comes_first_and_what_it_holds_can_be_had_again():
    process = GpuProcess(pid=5, is_worker=True, used_bytes=3 * GIB)
    second = CARDS[1].model_copy(update={"processes": [process], "memory_free": GIB, "memory_total": 8 * GIB})
    sample = Telemetry(time=1.0, gpus=[CARDS[0], second])
    card = memory_help._card(sample, LOST, {"CUDA_VISIBLE_DEVICES": "0"})
    assert (card.gpu.index, card.assumed) == (1, False)
    assert memory_help._figures(sample, LOST, card).available == 4 * GIB
    untold = second.model_copy(update={"processes": [process.model_copy(update={"used_bytes": None})]})
    figures = memory_help._figures(sample, LOST, memory_help._Card(untold))
    assert (figures.available, figures.unknown) == (None, "no_figures")


def test_a_model_on_the_cpu_beside_a_card_is_about_the_box():
    ready = Health(status="ok", reason="ready", model=ModelCard(id="m", device="cpu"))
    host = HostSample(memory_total=16 * GIB, memory_available=2 * GIB)
    sample = Telemetry(time=1.0, gpus=CARDS, host=host, service=ServiceSample(worker_rss=GIB))
    figures = memory_help._figures(sample, ready, memory_help._card(sample, ready, {}))
    assert (figures.device, figures.available) == ("host", 3 * GIB)
