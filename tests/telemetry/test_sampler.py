"""The sampler: many readers, a pause when there are none, a hung NVML call, a clean end."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from medgemma_tui.protocol import PrivacyFacts, ProcessSeal, ServiceSample, Telemetry
from medgemma_tui.telemetry.sampler import Sampler

SEALED = ProcessSeal(inet_sockets=0)


@pytest.fixture
def sampler():
    made = []

    def make(**options) -> Sampler:
        made.append(Sampler(options.pop("interval_s", 0.05), **options))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.stop()


async def take(samples, count: int) -> list[Telemetry]:
    return [await asyncio.wait_for(anext(samples), 20) for _ in range(count)]


async def test_every_subscriber_gets_every_new_sample_in_order(sampler):
    running = sampler()
    first, second = running.subscribe(), running.subscribe()
    got = await asyncio.gather(take(first, 4), take(second, 4))
    for samples in got:
        times = [sample.time for sample in samples]
        assert times == sorted(set(times))
    assert {sample.time for sample in got[0]} & {sample.time for sample in got[1]}
    assert got[0][-1].host.memory_total > 0


async def test_a_slow_reader_gets_the_newest_and_no_backlog(sampler):
    running = sampler()
    samples = running.subscribe()
    await take(samples, 1)
    await asyncio.sleep(1.0)  # twenty samples pass
    started = time.time()
    (next_one,) = await take(samples, 1)
    assert started - next_one.time < 0.9  # a backlog would begin with one that is a second old
    (after,) = await take(samples, 1)
    assert after.time > next_one.time


async def test_the_gateways_own_part_is_in_the_sample(sampler):
    running = sampler(
        extra=lambda: (ServiceSample(queued=3, active=2), PrivacyFacts(gateway_inet_sockets=0, gateway=SEALED))
    )
    sample = await running.current()
    assert (sample.service.queued, sample.privacy.gateway) == (3, SEALED)


async def test_a_failing_callback_is_logged_once_and_sampling_goes_on(sampler, caplog):
    calls = []

    def extra():
        calls.append(None)
        if len(calls) < 4:
            raise RuntimeError("not ready")
        return ServiceSample(queued=7), PrivacyFacts()

    running = sampler(extra=extra)
    (sample,) = await take(running.subscribe(), 1)
    assert sample.service.queued == 7
    assert [record.message for record in caplog.records] == ["Telemetry samples fail"]


async def test_nobody_reads_and_it_pauses_a_read_resumes_it_at_once(sampler):
    calls = []

    def extra():
        calls.append(time.monotonic())
        return ServiceSample(), PrivacyFacts()

    running = sampler(interval_s=0.05, idle_after_s=0.2, extra=extra)
    await running.current()
    await asyncio.sleep(0.5)
    paused = len(calls)
    await asyncio.sleep(0.4)
    assert len(calls) == paused
    started = time.time()
    sample = await running.current()
    assert started <= sample.time
    assert len(calls) > paused


async def test_latest_does_not_wait_and_tells_its_age(sampler):
    running = sampler(interval_s=0.05, idle_after_s=0.1)
    begun = time.monotonic()
    running.latest()  # whether the first sample was taken by now or not
    assert time.monotonic() - begun < 2
    await running.current()
    await asyncio.sleep(0.4)
    old = running.latest().time
    assert time.time() - old > 0.2  # an old one, at once; and sampling has resumed
    async with asyncio.timeout(20):
        while running.latest().time == old:  # noqa: ASYNC110 - latest() is what resumes it
            await asyncio.sleep(0.02)


async def test_an_open_subscription_keeps_it_going(sampler):
    calls = []

    def extra():
        calls.append(None)
        return ServiceSample(), PrivacyFacts()

    running = sampler(interval_s=0.05, idle_after_s=0.1, extra=extra)
    samples = running.subscribe()
    await take(samples, 1)
    await asyncio.sleep(0.4)
    before = len(calls)
    await asyncio.sleep(1.0)  # ten times longer than it samples for nobody
    assert len(calls) > before


async def test_a_cancelled_reader_is_forgotten(sampler):
    running = sampler(interval_s=0.05, idle_after_s=0.1)

    async def read():
        async for _ in running.subscribe():
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(1.0)
    assert time.time() - running.latest().time > 0.3


async def test_stop_ends_subscriptions_and_threads():
    running = Sampler(0.05)
    running.start()
    samples = running.subscribe()
    await take(samples, 1)
    waiting = asyncio.create_task(anext(samples, None))
    await asyncio.sleep(0)
    await asyncio.to_thread(running.stop)
    while await asyncio.wait_for(waiting, 20) is not None:  # one sample may be on its way
        waiting = asyncio.create_task(anext(samples, None))
    assert await anext(running.subscribe(), None) is None
    assert not [thread for thread in threading.enumerate() if thread.name in ("telemetry", "nvml")]


def test_a_reader_whose_event_loop_died_does_not_end_the_sampling(sampler):
    running = sampler(interval_s=0.02)

    async def read_one():
        samples = running.subscribe()
        await anext(samples)
        return samples  # kept alive: the loop ends under it

    loop = asyncio.new_event_loop()
    kept = loop.run_until_complete(read_one())
    loop.close()
    time.sleep(0.1)
    assert time.time() - asyncio.run(running.current()).time < 2
    del kept


HUNG = """
import asyncio, json, pathlib, sys, time
from medgemma_tui.protocol import PrivacyFacts, ServiceSample
from medgemma_tui.telemetry.sampler import Sampler

async def main():
    sampler = Sampler(0.1, stale_s=0.5, extra=lambda: (ServiceSample(queued=1), PrivacyFacts()))
    sampler.start()
    async for sample in sampler.subscribe():
        print(sample.model_dump_json(), flush=True)
        if pathlib.Path(sys.argv[1]).exists():
            break
    started = time.monotonic()
    await asyncio.to_thread(sampler.stop)
    print(json.dumps(time.monotonic() - started))

asyncio.run(main())
"""


def test_a_hung_nvml_call_hangs_nothing_else_and_its_figures_are_withdrawn(nvml_stub, tmp_path):
    enough = tmp_path / "enough"
    process = subprocess.Popen(
        [sys.executable, "-c", HUNG, str(enough)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **nvml_stub.env},
    )
    samples = [Telemetry.model_validate_json(process.stdout.readline()) for _ in range(3)]
    assert samples[-1].gpus[0].temperature == 61
    assert samples[-1].gpu_age_s < 0.5
    nvml_stub.set("hang")  # the power call takes 2.5 s from now on
    samples, stop_took = [], None
    for line in process.stdout:
        if line.startswith("{"):
            samples.append(Telemetry.model_validate_json(line))
            if samples[-1].nvml_error_code == "timeout":
                nvml_stub.set("healthy")
            elif any(sample.nvml_error_code for sample in samples):
                enough.touch()  # it answers again
        else:
            stop_took = json.loads(line)
    process.wait(10)
    gaps = [b.time - a.time for a, b in itertools.pairwise(samples)]
    assert max(gaps) < 2.4  # the service's own figures go on
    assert all(sample.service.queued == 1 for sample in samples)
    silent = [sample for sample in samples if sample.nvml_error_code == "timeout"]
    assert silent
    for sample in silent:
        assert sample.nvml_error.startswith("NVML: no answer for ")
        assert sample.gpu_age_s >= 0.5
        (card,) = sample.gpus
        assert (card.name, card.temperature, card.error_code) == ("NVIDIA L4", None, "timeout")
    assert samples[-1].gpus[0].temperature == 61  # and it is noticed when it answers again
    assert samples[-1].nvml_error is None
    assert stop_took < 10


def test_the_process_ends_although_nvml_hangs(nvml_stub, tmp_path):
    nvml_stub.set("hang", hang__nvmlDeviceGetPowerUsage="60000")
    enough = tmp_path / "enough"
    enough.touch()
    subprocess.run(
        [sys.executable, "-c", HUNG, str(enough)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, **nvml_stub.env},
        timeout=30,  # of the sixty that the call takes
        check=True,
    )


IDLE = """
import sys, time
from medgemma_tui.telemetry.sampler import Sampler
sampler = Sampler(0.1, idle_after_s=float(sys.argv[1]))
sampler.start()
time.sleep(1.0)
started = time.process_time()
time.sleep(3)
print((time.process_time() - started) / 3)
"""


@pytest.mark.parametrize(("idle_after_s", "limit"), [(0.2, 0.01), (60.0, 0.25)])
def test_it_costs_next_to_nothing(nvml_stub, idle_after_s, limit):
    """Of a core: paused, and at ten times the usual rate (the stub reads its file some 40 times a sample)."""
    done = subprocess.run(
        [sys.executable, "-c", IDLE, str(idle_after_s)],
        stdout=subprocess.PIPE,
        env={**os.environ, **nvml_stub.env},
        timeout=30,
        check=True,
    )
    assert float(done.stdout) < limit
