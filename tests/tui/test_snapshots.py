"""Pictures of the screen, with fixed time and figures. Look at a changed one before `--snapshot-update`."""

from __future__ import annotations

import asyncio
from datetime import datetime as real_datetime
from pathlib import Path

import pytest

from medgemma_tui import i18n
from medgemma_tui.demo import corpus
from medgemma_tui.protocol import (
    ChatChunk,
    ChunkChoice,
    Delta,
    GpuProcess,
    GpuSample,
    Health,
    HostSample,
    ModelCard,
    PrivacyFacts,
    ProcessSeal,
    ServiceSample,
    Telemetry,
    TokenizeReply,
    Usage,
)
from medgemma_tui.settings import Settings
from medgemma_tui.tui import link, profile, sending
from medgemma_tui.tui.commands import Screen
from medgemma_tui.tui.screens.guard import Guard
from medgemma_tui.tui.widgets import title_bar

DEMO = ModelCard(id="medgemma-tui-demo", demo=True, quantization="nf4", device="cpu", max_model_len=8192)
REAL = ModelCard(id="medgemma-1.5-4b-it", quantization="nf4", device="cuda:0", max_model_len=8192)
GIB = 2**30
SEALED = ProcessSeal(inet_sockets=0)
CARD = GpuSample(
    index=0, name="NVIDIA L4", utilization=87, memory_total=int(22.5 * GIB), memory_used=int(6.1 * GIB),
    memory_free=int(16.4 * GIB), temperature=61, power=68, power_limit=72, clock_sm=1890, clock_sm_max=2040,
    throttle=[], ecc_enabled=True, ecc_corrected=0, ecc_uncorrected=0,
    processes=[GpuProcess(pid=41, user="medgemma", command="worker", used_bytes=int(5.2 * GIB), is_worker=True)],
)  # fmt: skip
HOST = HostSample(cpu_percent=12, load_1m=0.4, memory_total=64 * GIB, memory_used=9 * GIB, memory_available=55 * GIB)


def telemetry(*gpus: GpuSample, **more) -> Telemetry:
    return Telemetry(
        time=1.0, gpus=list(gpus), host=HOST, service=ServiceSample(worker_pid=41),
        privacy=PrivacyFacts(gateway_inet_sockets=0, worker_inet_sockets=0, gateway=SEALED, worker=SEALED), **more,
    )  # fmt: skip


class Fixed:
    """A service whose figures do not change. ``cut``: the reply goes on for ever after so many pieces."""

    def __init__(self, figures: Telemetry, model: ModelCard, cut: int | None = None) -> None:
        self.figures, self.card, self.cut = figures, model, cut

    async def health(self):
        return Health(status="ok", reason="ready", model=self.card)

    async def model(self):
        return self.card

    async def telemetry(self):
        yield self.figures
        await asyncio.Event().wait()

    async def tokenize(self, request):
        counts = [len(message.text) // 2 + 4 for message in request.messages]
        return TokenizeReply(count=sum(counts), max_model_len=8192, message_counts=counts)

    async def stream(self, request):
        taught = corpus.find(request.messages[-1].text, [])
        parts = [{"reasoning": piece} for piece in taught.reasoning.splitlines(keepends=True)]
        parts += [{"content": piece} for piece in taught.answer.splitlines(keepends=True)]
        for part in parts[: self.cut]:
            yield ChatChunk(model=self.card.id, choices=[ChunkChoice(delta=Delta(**part))])
        if self.cut is not None:
            await asyncio.Event().wait()
        usage = Usage(
            prompt_tokens=90, completion_tokens=300, answer_tokens=200, tokens_per_second=41.0, trace_closed="model",
            completion_tokens_details={"reasoning_tokens": 100},
        )  # fmt: skip
        yield ChatChunk(model=self.card.id, choices=[ChunkChoice(finish_reason="stop")])
        yield ChatChunk(usage=usage)

    async def forget(self):
        pass

    async def note(self, event):
        pass

    async def parked(self):
        return None

    async def park(self, body):
        pass

    async def drop(self, id):
        return False

    async def leave(self):
        pass

    async def close(self):
        pass


@pytest.fixture(autouse=True)
def fixed(monkeypatch):
    """One moment, one count of sockets."""

    class Moment(real_datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 24, 14, 2, 0)

    monkeypatch.setattr(title_bar, "datetime", Moment)
    monkeypatch.setattr(sending, "datetime", Moment)
    monkeypatch.setattr(link, "own_inet_sockets", lambda: 0)


def app(service: Fixed, lang: str, term: str = "xterm-256color") -> Screen:
    i18n.set_language(lang)
    console = profile.choose("auto", {"TERM": term})
    return Screen(Settings(box_name="box-3"), link.ExistingGateway(Path("x.sock")), console, lambda _socket: service)


def until(condition, *keys: str):
    """Press keys once the model is ready, then wait."""

    async def run(pilot):
        screen = pilot.app
        await wait(pilot, lambda: screen.controller.ready and screen.plan.exact)
        for key in keys:
            if len(key) > 12:
                screen.chat.set_draft(key)
            else:
                await pilot.press(key)
        await wait(pilot, lambda: condition(screen))
        await wait(pilot, lambda: screen.plan.exact)
        await pilot.pause(0.3)
        await seen_whole(pilot)

    return run


async def seen_whole(pilot):
    """What was never in view has an estimated height, and whether it was depends on how busy the machine is."""
    chat = pilot.app.chat
    if pilot.app.screen is chat and 0 < chat.transcript.max_scroll_y == chat.transcript.scroll_offset.y:
        while chat.transcript.scroll_offset.y:  # what gets its height on the way up pushes the view down
            chat.transcript.scroll_home(animate=False, force=True)
            await pilot.pause(0.1)
        chat.transcript.scroll_end(animate=False, force=True)
        await pilot.pause(0.2)


async def wait(pilot, condition):
    for _attempt in range(500):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not come")


def done(screen) -> bool:
    turns = screen.controller.conversation.turns
    return bool(turns) and not turns[-1].live


def streaming(screen) -> bool:
    turns = screen.controller.conversation.turns
    return bool(turns) and len(turns[-1].answer) > 20


def ready(_screen) -> bool:
    return True


SMALL, LARGE = (80, 24), (120, 36)


def named(value) -> str:
    return f"{value[0]}x{value[1]}" if isinstance(value, tuple) else value


@pytest.mark.parametrize(("size", "lang"), [(SMALL, "zh"), (LARGE, "zh"), (SMALL, "en"), (LARGE, "en")], ids=named)
def test_welcome(snap_compare, size, lang):
    assert snap_compare(app(Fixed(telemetry(CARD), DEMO), lang), terminal_size=size, run_before=until(ready))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=named)
def test_streaming_with_the_trace_open(snap_compare, size):
    service = Fixed(telemetry(CARD), DEMO, cut=8)
    before = until(streaming, "f2", corpus.GFR_QUESTION, "enter")
    assert snap_compare(app(service, "zh"), terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=named)
def test_done_with_the_trace_closed(snap_compare, size):
    before = until(done, corpus.GFR_QUESTION, "enter")
    assert snap_compare(app(Fixed(telemetry(CARD), REAL), "zh"), terminal_size=size, run_before=before)


GPUS = {
    "throttled": telemetry(CARD.model_copy(update={"throttle": ["hw_thermal"], "temperature": 94.0})),
    "lost": telemetry(GpuSample(index=0, name="NVIDIA L4", error="GPU is lost", error_code="gpu_lost")),
    "no driver": telemetry(nvml_error="driver", nvml_error_code="driver_not_loaded"),
}


@pytest.mark.parametrize("state", GPUS)
def test_gpu_states(snap_compare, state):
    assert snap_compare(app(Fixed(GPUS[state], REAL), "en"), terminal_size=LARGE, run_before=until(ready))


# --- the composer's side ---

NOTES = {
    "zh": "65岁男性，血压1680/95，血糖7.8mmol/L，体重70kg，既往房颤，患者由家属陪同来诊，利伐沙班用多大剂量？",
    "en": "65-year-old man, BP 1680/95, glucose 7.8 mmol/L, weight 70 kg, known AF. What dose of rivaroxaban?",
}
NAMED = {
    "zh": "患者姓名：张三，电话13912345678，65岁男性，突发胸痛2小时，如何处理？",
    "en": "Patient name: John Smith, MRN 00123456, 65-year-old man with chest pain for 2 hours. What next?",
}
FIRST = {
    "zh": "65岁男性，突发胸痛2小时，V1–V4 ST段抬高，首诊如何处理？",
    "en": "A 65-year-old man has had chest pain for 2 hours with ST elevation in V1–V4. "
    "What should be done at first medical contact?",
}
BOTH = [(SMALL, "zh"), (LARGE, "zh"), (SMALL, "en"), (LARGE, "en")]


def understood(screen) -> bool:
    return screen.chat.chips.display and screen.plan.exact


def guarded(screen) -> bool:
    return isinstance(screen.screen, Guard)


def carded(screen) -> bool:
    return done(screen) and screen.chat.card_line.display


@pytest.mark.parametrize(("size", "lang"), BOTH, ids=named)
def test_chips_and_coach(snap_compare, size, lang):
    before = until(understood, NOTES[lang])
    assert snap_compare(app(Fixed(telemetry(CARD), REAL), lang), terminal_size=size, run_before=before)


@pytest.mark.parametrize(("size", "lang"), BOTH, ids=named)
def test_the_guard(snap_compare, size, lang):
    before = until(guarded, NAMED[lang], "enter")
    assert snap_compare(app(Fixed(telemetry(CARD), REAL), lang), terminal_size=size, run_before=before)


@pytest.mark.parametrize(("size", "lang"), BOTH, ids=named)
def test_the_card(snap_compare, size, lang):
    before = until(carded, FIRST[lang], "enter")
    assert snap_compare(app(Fixed(telemetry(CARD), REAL), lang), terminal_size=size, run_before=before)
