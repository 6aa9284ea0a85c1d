"""When the screen locks, how long a PIN must wait, when the time is over. State and rules; no widgets, no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from medgemma_tui.tui.pin import Pin

MOST_TRIES = 5
"""Wrong PINs until the session ends."""
LONGEST_WAIT_S = 30.0


def boot_time() -> float:
    """Seconds since the system started, those it was suspended for included; no clock that is set changes it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class Locking:
    """The lock of one screen. ``after_s`` without a key it locks; ``wipe_s`` later everything is wiped."""

    after_s: float
    wipe_s: float
    clock: Callable[[], float] = boot_time
    pin: Pin | None = None
    tries: int = 0
    """Wrong PINs since the lock."""
    _active_at: float = field(init=False)
    _locked_at: float | None = field(default=None, init=False)
    _deaf_until: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._active_at = self.clock()

    def touched(self) -> None:
        """A key, a paste or the mouse."""
        self._active_at = self.clock()

    @property
    def locked(self) -> bool:
        """Whether it is locked."""
        return self._locked_at is not None

    @property
    def idle(self) -> bool:
        """Whether nobody has done anything for so long that it has to lock."""
        return not self.locked and self.clock() - self._active_at >= self.after_s

    def lock(self) -> None:
        """Lock it. Locked already, its time runs on; where it comes too late, since the system slept, that counts."""
        if self._locked_at is None:
            self._locked_at = min(self.clock(), self._active_at + self.after_s)
            self.tries, self._deaf_until = 0, 0.0

    def unlock(self) -> None:
        """Open it."""
        self._locked_at = None
        self.touched()

    @property
    def left_s(self) -> float:
        """Seconds until everything is wiped; all of them while it is open."""
        if self._locked_at is None:
            return self.wipe_s
        return max(0.0, self._locked_at + self.wipe_s - self.clock())

    @property
    def over(self) -> bool:
        """Whether it was locked for so long that everything has to be wiped."""
        return self.locked and self.left_s <= 0.0

    @property
    def wait_s(self) -> float:
        """Seconds until another PIN may be tried."""
        return max(0.0, self._deaf_until - self.clock())

    def wrong(self) -> bool:
        """A wrong PIN: the next has to wait 1, 2, 4 … seconds. True where it was the last that may be tried."""
        self.tries += 1
        self._deaf_until = self.clock() + min(2.0 ** (self.tries - 1), LONGEST_WAIT_S)
        return self.tries >= MOST_TRIES
