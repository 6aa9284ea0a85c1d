"""The engine's thread with a real decoder, when memory runs out or worse."""

from __future__ import annotations

import asyncio
import time

import pytest

torch = pytest.importorskip("torch")
from medgemma_tui import demo  # noqa: E402
from medgemma_tui.http_errors import ApiError  # noqa: E402
from medgemma_tui.protocol import ChatMessage  # noqa: E402
from medgemma_tui.worker import loader  # noqa: E402
from medgemma_tui.worker.decoder import Decoder  # noqa: E402
from medgemma_tui.worker.engine import Engine  # noqa: E402
from medgemma_tui.worker.grammar import GrammarCompiler  # noqa: E402
from medgemma_tui.worker.outbox import Done, Failed, Text  # noqa: E402
from medgemma_tui.worker.prompt import PromptRenderer  # noqa: E402
from medgemma_tui.worker.thinking import SpecialTokens  # noqa: E402
from medgemma_tui.worker.types import Channel, DecodeRequest, FinishReason, Sampling, Thinking  # noqa: E402

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def tokenizer():
    return loader.load_tokenizer(demo.model_dir())


@pytest.fixture(scope="module")
def loaded():
    torch.set_num_threads(1)
    return loader.load_model(loader.make_plan(demo.model_dir(), max_model_len=None, slots=4, device="cpu"))


class Bench:
    """An engine, and a fault that is raised by the model's next forward pass for which ``when`` holds."""

    def __init__(self, loaded, tokenizer, **decoder):
        ids = SpecialTokens.from_tokenizer(tokenizer, loaded.eos_ids)
        self.tokenizer = tokenizer
        self.fatal = asyncio.Event()
        self.faults = []
        self.grammar = GrammarCompiler(tokenizer, ids)
        self.hook = loaded.model.register_forward_pre_hook(self._fault, with_kwargs=True)
        self.decoder = Decoder(loaded.model, ids, **{"slots": 4, "max_model_len": 2048, **decoder})
        self.engine = Engine(self.decoder, tokenizer, asyncio.get_running_loop(), self.fatal.set)

    def _fault(self, _module, _arguments, keywords):
        shape = tuple(keywords["input_ids"].shape)
        for fault in self.faults:
            when, error = fault
            if when(shape):
                self.faults.remove(fault)
                raise error

    def long(self):
        """Fields of a request that cannot end early, whatever the demo model has learned."""
        mask = self.grammar.schema({"type": "array", "minItems": 2000, "items": {"type": "integer"}})
        return {"mask": mask, "thinking": Thinking.SKIP, "sampling": Sampling(temperature=2.0, seed=5)}

    async def ask(self, id_, text, *, most=40, stops=(), events=None, **fields):
        prompt = tuple(PromptRenderer(self.tokenizer).render([ChatMessage(role="user", content=text)]))
        events = asyncio.Queue() if events is None else events
        request = DecodeRequest(id_, prompt, most, **fields)
        await self.engine.submit(request, events.put_nowait, stops=stops, arrived=time.perf_counter())
        said = []
        while True:
            said.append(await asyncio.wait_for(events.get(), 60))
            if isinstance(said[-1], Done | Failed):
                return said


def text(events, channel=None):
    return "".join(e.text for e in events if isinstance(e, Text) and channel in (None, e.channel))


@pytest.fixture
async def bench(loaded, tokenizer):
    made = Bench(loaded, tokenizer)
    yield made
    made.hook.remove()
    made.engine.close()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("no room"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
)
async def test_out_of_memory_in_a_prompt_ends_that_reply_alone(bench, error):
    alone = text(await bench.ask("alone", "What is STEMI?", most=60))
    long_prompt = "GFR " * 600
    bench.faults.append((lambda shape: shape[1] == 256, error))
    short, long = await asyncio.gather(
        bench.ask("short", "What is STEMI?", most=60), bench.ask("long", long_prompt, most=5)
    )
    assert isinstance(long[-1], Failed)
    assert (long[-1].error.type, long[-1].error.code) == ("out_of_memory", "host_answering")
    assert isinstance(short[-1], Done)
    assert text(short) == alone
    again = await bench.ask("again", long_prompt, most=5)
    assert isinstance(again[-1], Done)
    assert not bench.fatal.is_set()


async def test_out_of_memory_between_replies_costs_the_longest(bench):
    alone = text(await bench.ask("alone", "hello", most=60))
    bench.faults.append((lambda shape: shape == (2, 1), torch.OutOfMemoryError("no room")))
    short, long = await asyncio.gather(
        bench.ask("short", "hello", most=60), bench.ask("long", "GFR " * 100, most=1000, **bench.long())
    )
    assert isinstance(long[-1], Failed)
    assert text(short) == alone


async def test_memory_that_stays_out_is_fatal(bench):
    bench.faults += [(lambda shape: True, torch.OutOfMemoryError("no room")) for _ in range(100)]
    said = await asyncio.gather(*(bench.ask(f"r{n}", "hello") for n in range(4)))
    assert all(isinstance(events[-1], Failed) for events in said)


async def test_any_other_error_is_fatal_and_everybody_is_told(bench, caplog):
    bench.faults.append((lambda shape: shape == (3, 1), RuntimeError("CUDA error: Zeppelin")))
    said = await asyncio.gather(*(bench.ask(f"r{n}", "hello", most=300, **bench.long()) for n in range(3)))
    assert [events[-1].error.type for events in said] == ["engine_failed"] * 3
    await asyncio.wait_for(bench.fatal.wait(), 20)
    assert "RuntimeError in" in caplog.text
    assert "Zeppelin" not in caplog.text


async def test_refusals_come_before_any_event(bench):
    with pytest.raises(ApiError) as caught:
        await bench.ask("long", "GFR " * 3000)
    assert (caught.value.status, caught.value.code) == (413, "context_length_exceeded")


async def test_a_full_queue_tells_the_position(loaded, tokenizer):
    bench = Bench(loaded, tokenizer, slots=1, max_queue=1)
    try:
        running = []
        for n, there in enumerate((lambda: bench.decoder.active, lambda: bench.decoder.queued)):
            running.append(asyncio.create_task(bench.ask(f"r{n}", "hello", most=2000, **bench.long())))
            async with asyncio.timeout(20):
                while not there():  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
        with pytest.raises(ApiError) as caught:
            await bench.ask("third", "hello")
        assert (caught.value.status, caught.value.position) == (429, 2)
        assert caught.value.retry_after_s
        for n in range(2):
            bench.engine.cancel(f"r{n}")
        for task in running:
            task.cancel()
    finally:
        bench.hook.remove()
        bench.engine.close()


async def test_text_is_handed_out_a_hundred_times_a_second_at_most(bench):
    began = time.perf_counter()
    said = await bench.ask("r", "hello", most=400, **bench.long())
    span = time.perf_counter() - began
    pieces = [event for event in said if isinstance(event, Text)]
    usage = said[-1].usage
    assert usage.completion_tokens > 100
    assert len(pieces) <= span / 0.009 + 4


async def test_a_stop_string_is_a_stop(bench):
    said = await bench.ask("r", "hello", most=200, stops=("1",), **bench.long())
    assert said[-1].reason is FinishReason.STOP
    assert "1" not in text(said, Channel.CONTENT)
    async with asyncio.timeout(20):
        while not bench.decoder.idle:  # noqa: ASYNC110 - the engine's thread drops the row in its next step
            await asyncio.sleep(0.01)
