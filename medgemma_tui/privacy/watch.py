"""What a process knows of its own seal, kept fresh for those who ask each second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from medgemma_tui.protocol import Finding, PrivacyReport, ProcessName, ProcessPrivacy, ProcessSeal

log = logging.getLogger(__name__)

FRESH_S = 10.0
"""Seconds for which a reading of the kernel's view is told again."""


def _try_all(process: ProcessName) -> ProcessPrivacy:
    from medgemma_tui.privacy.probes import probe

    return probe(process)


def _try_quickly(process: ProcessName) -> ProcessPrivacy:
    from medgemma_tui.privacy.probes import probe

    return probe(process, quick=True)


def _view(process: ProcessName) -> Sequence[Finding]:
    from medgemma_tui.privacy import kernel

    return kernel.view(process)


class Watch:
    """This process's seal: the kernel's view, read again where it is older than ``fresh_s``, with what came out of the
    last probes. The first reading tries the quick probes, too. Safe on any thread.
    """

    def __init__(
        self,
        process: ProcessName,
        fresh_s: float = FRESH_S,
        *,
        try_all: Callable[[ProcessName], ProcessPrivacy] = _try_all,
        try_quickly: Callable[[ProcessName], ProcessPrivacy] = _try_quickly,
        view: Callable[[ProcessName], Sequence[Finding]] = _view,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.process = process
        self._fresh_s = fresh_s
        self._try_all, self._try_quickly, self._view, self._clock = try_all, try_quickly, view, clock
        self._trying = threading.Lock()  # one at a time tries everything: it takes a while
        self._reading = threading.Lock()
        self._tried: list[Finding] | None = None
        self._seal: ProcessSeal | None = None
        self._read_at: float | None = None

    def latest(self) -> ProcessSeal | None:
        """The last reading, at once; None before the first. An old one is read again in the background."""
        if self._is_old() and not self._reading.locked():
            threading.Thread(target=self.read, name="seal", daemon=True).start()
        return self._seal

    def read(self) -> ProcessSeal | None:
        """The last reading, or a new one where it is old: milliseconds, and for a thread that may wait.

        None where it could not be read: who tells of it says that it is not known.
        """
        with self._reading:
            if self._is_old():
                self._read_at = self._clock()
                try:
                    if self._tried is None:
                        self._keep(self._try_quickly(self.process))
                    self._seal = self._shortened()
                except Exception as error:  # telemetry and health go on without
                    self._seal = None
                    log.error("the seal cannot be read: %s", type(error).__name__)
            return self._seal

    def probe(self) -> ProcessPrivacy:
        """Try everything now. Takes up to some seconds: for a thread."""
        with self._trying:
            whole = self._try_all(self.process)
        with self._reading:
            self._keep(whole)
            self._seal, self._read_at = self._shortened(), self._clock()
        return whole

    def _keep(self, whole: ProcessPrivacy) -> None:
        self._tried = [finding for finding in whole.findings if finding.kind == "probe"]

    def _shortened(self) -> ProcessSeal:
        from medgemma_tui.privacy import kernel

        return kernel.short([*self._view(self.process), *(self._tried or ())])

    def _is_old(self) -> bool:
        return self._read_at is None or self._clock() - self._read_at >= self._fresh_s


def report_of(
    processes: Sequence[ProcessPrivacy], missing: Sequence[ProcessName], *, foreign_engine: bool = False
) -> PrivacyReport:
    """A report on these processes. It is shut where every finding of every process is, or is a second layer that is
    not to be had, and where nobody is missing. Nothing tried proves nothing.
    """
    proved = bool(processes) and all(process.findings for process in processes)
    shut = all(finding.verdict in ("shut", "absent") for process in processes for finding in process.findings)
    return PrivacyReport(
        processes=list(processes),
        missing=list(missing),
        foreign_engine=foreign_engine,
        shut=proved and shut and not missing,
    )
