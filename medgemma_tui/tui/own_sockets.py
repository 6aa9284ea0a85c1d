"""What this process holds open towards a network: nothing, and here it is counted."""

from __future__ import annotations

import contextlib
import os


def own_network_sockets() -> int | None:
    """Sockets this process holds open that are not Unix sockets. None where /proc cannot be read."""
    held = set()
    try:
        for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208 - a descriptor may close under us
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
                if target.startswith("socket:["):
                    held.add(target[len("socket:[") : -1])
        if not held:
            return 0
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:  # noqa: PTH123
            unix = {fields[6] for fields in map(str.split, table) if len(fields) > 6}
    except OSError:
        return None
    return len(held - unix)
