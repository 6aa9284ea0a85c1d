"""Samples the cards and the box in the background, for as many readers as there are, and only while there are any.

Two threads: one asks NVML and may hang with it (a driver in trouble does); the other puts the samples together
and never waits long, so the service's own figures go on and say that the card does not answer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from medgemma_tui.protocol import GpuSample, PrivacyFacts, ServiceSample, Telemetry
from medgemma_tui.telemetry.gpu import GpuReader, GpuReading
from medgemma_tui.telemetry.host import HostReader

log = logging.getLogger(__name__)

STALE_S = 3.0
"""Seconds without an answer after which NVML's last figures are no longer shown as the present ones."""

_NOTHING_YET = GpuReading(error="starting", error_text="NVML: waiting for its first answer")


class Sampler:
    """Samples every ``interval_s`` seconds while somebody reads, and pauses ``idle_after_s`` after the last one.

    ``worker_pid`` and ``extra`` (the gateway's own part of a sample) are called on the sampling thread.
    """

    def __init__(
        self,
        interval_s: float = 1.0,
        *,
        worker_pid: Callable[[], int | None] = lambda: None,
        extra: Callable[[], tuple[ServiceSample, PrivacyFacts]] = lambda: (ServiceSample(), PrivacyFacts()),
        idle_after_s: float = 10.0,
        stale_s: float = STALE_S,
    ) -> None:
        self._interval_s = interval_s
        self._worker_pid = worker_pid
        self._extra = extra
        self._idle_after_s = idle_after_s
        self._host = HostReader()
        self._gpu = _GpuThread(stale_s)
        self._lock = threading.Condition()
        # Under the lock:
        self._latest = _together(time.time(), _NOTHING_YET, None)
        self._taken_at: float | None = None
        self._read_at = time.monotonic()
        self._readers: set[_Reader] = set()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        """Start sampling. Once only."""
        self._gpu.start()
        self._thread.start()

    def stop(self) -> None:
        """End the threads and every subscription. A hung NVML call is left behind; its thread is a daemon."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
            for reader in self._readers:
                reader.wake()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        self._gpu.stop()

    def latest(self) -> Telemetry:
        """The newest sample, at once. After a pause it is an old one (see its ``time``); :meth:`current` waits."""
        with self._lock:
            self._touch()
            return self._latest

    async def current(self) -> Telemetry:
        """A sample that is not older than two intervals; waits for one after a pause."""
        async with aclosing(self.subscribe()) as samples:
            async for sample in samples:
                return sample
        return self.latest()

    async def subscribe(self) -> AsyncGenerator[Telemetry, None]:
        """Every new sample, the newest at once if it is fresh. A slow reader misses some; none are kept for it."""
        reader = _Reader()
        with self._lock:
            if self._stopping:
                return
            self._touch()
            self._readers.add(reader)
            if self._taken_at is not None and time.monotonic() - self._taken_at <= 2 * self._interval_s:
                reader.wake()
        try:
            while True:
                await reader.woken.wait()
                reader.woken.clear()
                with self._lock:
                    if self._stopping:
                        return
                    sample = self._latest
                yield sample
        finally:
            with self._lock:
                self._readers.discard(reader)
                self._touch()

    def _touch(self) -> None:
        """Somebody reads. Called under the lock; ends a pause."""
        if not self._active():
            self._lock.notify_all()
        self._read_at = time.monotonic()

    def _active(self) -> bool:
        return bool(self._readers) or time.monotonic() - self._read_at < self._idle_after_s

    def _run(self) -> None:
        due = time.monotonic()
        failed = False
        while True:
            with self._lock:
                while not self._stopping and (wait := self._wait_s(due)) != 0:
                    self._lock.wait(wait)
                if self._stopping:
                    return
            started = time.monotonic()
            due = due + self._interval_s if due + self._interval_s > started else started + self._interval_s
            try:
                self._publish(self._sample())
                failed = False
            except Exception:
                # One bad sample (the gateway's callback, say) must not end all of them, nor fill the log.
                if not failed:
                    log.exception("Telemetry samples fail")
                failed = True

    def _wait_s(self, due: float) -> float | None:
        """Seconds until the next sample; ``None``: nobody reads, wait to be woken."""
        return max(0.0, due - time.monotonic()) if self._active() else None

    def _sample(self) -> Telemetry:
        reading, age = self._gpu.ask(self._worker_pid(), self._interval_s / 2)
        sample = _together(time.time(), reading, age)
        service, privacy = self._extra()
        return sample.model_copy(update={"host": self._host.read(), "service": service, "privacy": privacy})

    def _publish(self, sample: Telemetry) -> None:
        with self._lock:
            self._latest = sample
            self._taken_at = time.monotonic()
            self._readers = {reader for reader in self._readers if reader.wake()}


class _Reader:
    """One subscription, on the event loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.woken = asyncio.Event()

    def wake(self) -> bool:
        """Tell it of a new sample, from any thread. False: its event loop is closed, nobody waits."""
        try:
            self._loop.call_soon_threadsafe(self.woken.set)
        except RuntimeError:
            return False
        return True


class _GpuThread:
    """Reads the cards when asked, on a thread of its own."""

    def __init__(self, stale_s: float) -> None:
        self._stale_s = stale_s
        self._lock = threading.Condition()
        # Under the lock:
        self._wanted = False
        self._worker_pid: int | None = None
        self._reading = _NOTHING_YET
        self._answered_at: float | None = None
        self._asked_at = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="nvml", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=0.5)

    def ask(self, worker_pid: int | None, patience_s: float) -> tuple[GpuReading, float | None]:
        """A new reading and its age, 0; after ``patience_s`` without one, the last and its age in seconds.

        Once the question has stood for longer than ``stale_s``, the last reading comes without its figures.
        """
        with self._lock:
            self._worker_pid = worker_pid
            if not self._wanted:
                self._wanted = True
                self._asked_at = time.monotonic()
                self._lock.notify_all()
                self._lock.wait_for(lambda: not self._wanted, patience_s)
            now = time.monotonic()
            age = None if self._answered_at is None else now - self._answered_at
            if not self._wanted:
                return self._reading, age
            silent_s = now - self._asked_at
            return (_silenced(self._reading, silent_s) if silent_s > self._stale_s else self._reading), age

    def _run(self) -> None:
        reader = GpuReader()
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._wanted or self._stopping)
                if self._stopping:
                    break
                worker_pid = self._worker_pid
            try:
                reading = reader.read(worker_pid)
            except Exception as error:
                log.exception("Reading NVML failed")
                reading = GpuReading(error="unknown", error_text=f"NVML: {type(error).__name__}")
            with self._lock:
                self._reading = reading
                self._answered_at = time.monotonic()
                self._wanted = False
                self._lock.notify_all()
        reader.close()


def _silenced(reading: GpuReading, silent_s: float) -> GpuReading:
    """The reading's cards without figures: they are not known any more."""
    text = f"NVML: no answer for {silent_s:.0f} s"
    samples = [
        GpuSample(index=card.index, name=card.name, uuid=card.uuid, error=text, error_code="timeout")
        for card in reading.samples
    ]
    return GpuReading(samples, reading.driver_version, reading.nvml_version, "timeout", text)


def _together(moment: float, reading: GpuReading, age: float | None) -> Telemetry:
    """NVML's part of a sample."""
    return Telemetry(
        time=moment,
        nvml_version=reading.nvml_version,
        driver_version=reading.driver_version,
        nvml_error=reading.error_text,
        nvml_error_code=reading.error,
        gpu_age_s=age,
        gpus=reading.samples,
    )
