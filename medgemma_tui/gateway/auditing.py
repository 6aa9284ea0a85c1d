"""Writing the audit log: who waits for a record, what may come later, and what holds while nothing can be written.

One thread writes; whatever has come meanwhile goes into one write and one sync. While writing fails, the board refuses
questions, what ends is kept here in order, and writing is tried again until it works.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from medgemma_tui.audit.errors import AuditError
from medgemma_tui.audit.key import Key
from medgemma_tui.audit.log import Head
from medgemma_tui.audit.record import Entry, Event
from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.gateway.peers import login_name
from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import AuditHead

log = logging.getLogger(__name__)

_T = TypeVar("_T")

RETRY_S = 1.0
"""Seconds from a failed write to the next try."""
STALL_S = 10.0
"""Seconds that a write may take until no more questions are taken. It is waited for all the same."""
_BATCH = 500
_KEPT = 10_000
"""Records that are kept at most while none can be written, but for those that always are: ends of what runs."""
_LAST_WORDS_S = 3.0
_TICK_S = 30.0
"""Seconds of rest after which the newest record is anchored."""


class AuditFull(ApiError):
    """503: the log cannot be written, so nothing may begin. ``code`` is an ``AuditCode``."""

    def __init__(self, problem: AuditError) -> None:
        super().__init__(
            503, "audit_full", problem.sentence, code=problem.code,
            params={"path": problem.path}, retry_after_s=max(1, round(RETRY_S)),
        )  # fmt: skip


def own_entry(
    event: Event, outcome: str, counters: Mapping[str, int | float | str] | None = None, *, digest: str = ""
) -> Entry:
    """A record of the gateway's own doing."""
    uid = os.geteuid()
    return Entry(event, outcome, uid, login_name(uid), input=digest, counters=counters or {})


@dataclass(frozen=True, slots=True)
class Opened:
    """An open log's key, and the records that come before all others."""

    key: Key
    first: Sequence[Entry]


class Store(Protocol):
    """The log with its key, as the writing thread sees it. Every call may block, and raises AuditError."""

    def open(self) -> Opened: ...
    def append(self, entries: Sequence[Entry]) -> Head: ...
    def tick(self) -> None: ...
    def close(self) -> None: ...
    @property
    def anchored(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Figures:
    """For ``/metrics``."""

    writable: bool
    records: int
    failures: int
    kept: int


@dataclass(eq=False, slots=True)
class _Due:
    """A record that is to be written; ``written`` where somebody waits for it."""

    entry: Entry
    owner: str
    came_at: float
    written: asyncio.Future[int] | None = None


class Auditor:
    """The one writer of the gateway's records. Use from its loop; ``run`` is its task, ``close`` ends that."""

    def __init__(
        self,
        store: Store,
        board: Board,
        *,
        retry_s: float = RETRY_S,
        stall_s: float = STALL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._board = board
        self._retry_s = retry_s
        self._stall_s = stall_s
        self._clock = clock
        self._born_at = clock()
        self._thread = ThreadPoolExecutor(1, "audit")
        self._due: list[_Due] = []
        self._come = asyncio.Event()
        self._ending = asyncio.Event()
        self._opening = Signal()
        self._key: Key | None = None
        self._head: Head | None = None
        self._problem: AuditError | None = None
        self._failed_at = 0.0
        self._records = self._failures = self._overflown = 0
        self._running: asyncio.Task[None] | None = None

    # --- for whoever has something to record ---

    async def record(self, entry: Entry, owner: str = "") -> None:
        """Write it; it is on the disk when this returns. ``owner``: whose conversation; only a keyed hash is written.

        Raises AuditFull where it cannot be written: then it never will be. Cancelled, it may have been.
        """
        await asyncio.shield(self.submit(entry, owner))

    def submit(self, entry: Entry, owner: str = "") -> asyncio.Future[int]:
        """``record`` as a future of the record's number: shield it, for it is the writer's to end."""
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        written.add_done_callback(lambda done: done.cancelled() or done.exception())  # told, if anybody waits
        if self._problem is not None:
            written.set_exception(AuditFull(self._problem))
        else:
            self._add(_Due(entry, owner, self._clock(), written))
        return written

    def later(self, entry: Entry, owner: str = "", *, always: bool = False) -> None:
        """Write it as soon as that works, after all that came before it. Never waits, never fails.

        ``always``: however many are kept already; for the ends of what runs, which are no more than that.
        """
        if not always and len(self._due) >= _KEPT:
            self._overflown += 1
            return
        self._add(_Due(entry, owner, self._clock()))

    async def opened(self) -> Key:
        """The log's key, once it is open. Raises AuditFull where it cannot be opened now."""
        while self._key is None:
            if self._problem is not None:
                raise AuditFull(self._problem)
            await self._opening.wait()
        return self._key

    @property
    def crowded(self) -> bool:
        """True where ``later`` would lose what it is given."""
        return len(self._due) >= _KEPT

    @property
    def key(self) -> Key | None:
        """The log's key; None until it has been opened. Whatever was recorded has been."""
        return self._key

    @property
    def head(self) -> AuditHead | None:
        """The newest record; None where nothing has been written yet."""
        if self._head is None or self._key is None:
            return None
        return AuditHead(seq=self._head.seq, mac=self._head.mac, key_id=self._key.id, anchored=self._store.anchored)

    @property
    def figures(self) -> Figures:
        """Counts since the start."""
        return Figures(self._problem is None, self._records, self._failures, len(self._due))

    def _add(self, due: _Due) -> None:
        self._due.append(due)
        self._come.set()

    # --- the writer ---

    def start(self) -> None:
        """Begin to write."""
        self._running = asyncio.create_task(self._run())

    async def close(self, last: Entry) -> None:
        """Write what is left and this, if that can be done, and let go of the log."""
        self.later(last, always=True)
        self._ending.set()
        self._come.set()
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=_LAST_WORDS_S)
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        if self._due:
            log.error("%d audit records could not be written", len(self._due))
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        opened = False
        while True:
            try:
                if not opened:
                    self._begin(await self._call(self._store.open))
                    opened = True
                if self._due or self._problem is not None:
                    await self._write()
                elif self._ending.is_set():
                    await self._call(self._store.close)
                    return
                else:
                    self._come.clear()
                    if not await _came(self._come.wait(), within_s=_TICK_S):
                        await self._call(self._store.tick)
            except Exception as error:  # whatever it is: nothing is taken until writing works
                # an error of ours is told by its kind: its text may quote anything
                unexpected = AuditError("io_error", "", f"unexpected: {type(error).__name__}")
                self._fail(error if isinstance(error, AuditError) else unexpected)
                if self._ending.is_set():
                    return
                await _came(self._ending.wait(), within_s=self._retry_s)

    def _begin(self, opened: Opened) -> None:
        self._key = opened.key
        self._opening.fire()
        self._due[:0] = [_Due(entry, "", self._born_at) for entry in opened.first]

    async def _write(self) -> None:
        """Write what has come, in order."""
        batch, now = self._due[:_BATCH], self._clock()
        entries = [self._whole(due, now) for due in batch]
        if self._problem is not None:
            entries.append(self._resumed(self._problem))
        self._head = await self._call(lambda: self._store.append(entries))
        self._records += len(entries)
        del self._due[: len(batch)]
        for seq, due in enumerate(batch, self._head.seq - len(entries) + 1):  # what the log adds comes before
            if due.written is not None and not due.written.done():
                due.written.set_result(seq)
        if self._problem is not None:
            log.warning("the audit log can be written again")
            self._problem, self._overflown = None, 0
            self._board.hold(None)

    def _whole(self, due: _Due, now: float) -> Entry:
        """The entry with what was not known, or not needed, before: whose it is, and how late it comes."""
        entry, late_s = due.entry, now - due.came_at
        if due.owner and self._key is not None:
            entry = dataclasses.replace(entry, session=self._key.digest(due.owner)[:12])
        if late_s >= 1.0:
            entry = dataclasses.replace(entry, counters={**entry.counters, "late_s": round(late_s, 1)})
        return entry

    async def _call(self, work: Callable[[], _T]) -> _T:
        """Do it in the thread. Where it takes too long, no question is taken until it is done."""
        calling = asyncio.get_running_loop().run_in_executor(self._thread, work)
        done, _ = await asyncio.wait({calling}, timeout=self._stall_s)
        if not done:
            log.error("the audit log has not answered for %.0f s", self._stall_s)
            before = self._problem
            self._board.hold(before or AuditError("io_error", "", "the disk does not answer"))
            await asyncio.wait({calling})
            self._board.hold(before)
        return calling.result()

    def _fail(self, problem: AuditError) -> None:
        """Nothing can be written: those who wait are refused, the others' records are kept."""
        if self._problem is None:
            self._failed_at = self._clock()
        if self._problem is None or self._problem.code != problem.code:
            log.error("%s (%s)", problem.sentence, problem.code)
        self._failures += 1
        self._problem = problem
        self._opening.fire()
        self._board.hold(problem)  # before anybody is told: whoever waits for another turn must find it so
        refused = [due for due in self._due if due.written is not None]
        self._due = [due for due in self._due if due.written is None]
        for due in refused:
            if due.written is not None and not due.written.done():
                due.written.set_exception(AuditFull(problem))

    def _resumed(self, problem: AuditError) -> Entry:
        """That records were kept and why: the record that shows that writing works again."""
        counters: dict[str, int | float | str] = {
            "code": problem.code, "seconds": round(self._clock() - self._failed_at, 1), "kept": len(self._due),
            "lost": self._overflown,
        }  # fmt: skip
        return own_entry("health", "audit_writable", counters)


async def _came(waiting: Coroutine[None, None, object], *, within_s: float) -> bool:
    """Wait for this, but no longer; whether it came."""
    try:
        async with asyncio.timeout(within_s):
            await waiting
    except TimeoutError:
        return False
    return True
