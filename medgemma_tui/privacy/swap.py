"""Whether memory of ours could be written to a disk as it is: swap, read from the kernel's own tables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

SwapState = Literal["swap_none", "swap_memory", "swap_encrypted", "swap_refused", "swap_plain"]
"""None; only compressed in memory (zram); on encrypted devices; refused to our control group; or plain."""

_BLOCK = Path("/sys/dev/block")
_ENCRYPTED = "CRYPT-"


def state() -> tuple[SwapState, list[str]]:
    """What holds for this process, and the swap devices' names. Raises OSError where the tables cannot be read."""
    lines = Path("/proc/swaps").read_text().splitlines()[1:]
    names = [line.split()[0].encode().decode("unicode_escape") for line in lines if line.strip()]
    if not names:
        return "swap_none", []
    if _refused(Path("/proc/self/cgroup").read_text()):
        return "swap_refused", names
    kinds = {_kind(Path(name)) for name in names}
    if kinds == {"memory"}:
        return "swap_memory", names
    return ("swap_plain" if "plain" in kinds else "swap_encrypted"), names


def _refused(groups: str, root: Path = Path("/sys/fs/cgroup")) -> bool:
    """True where our control group, or one above it, may have no swap at all (cgroup v2)."""
    for line in groups.splitlines():
        number, _, path = line.split(":", 2)
        if number != "0":
            continue
        group = root / path.lstrip("/")
        while group != root and root in group.parents:
            if _text(group / "memory.swap.max") == "0":
                return True
            group = group.parent
    return False


def _kind(device: Path) -> Literal["memory", "encrypted", "plain"]:
    if device.name.startswith("zram"):
        backing = _text(Path("/sys/block", device.name, "backing_dev"))
        return "memory" if backing in ("none", "") else _kind(Path(backing))
    try:
        status = device.stat()
    except OSError:
        return "plain"
    number = status.st_rdev or status.st_dev  # a swap file lies on its file system's device
    return "encrypted" if _encrypted(_BLOCK / f"{os.major(number)}:{os.minor(number)}") else "plain"


def _encrypted(device: Path) -> bool:
    """True for a dm-crypt device, and for one that stands on nothing else (LVM on LUKS)."""
    if _text(device / "dm" / "uuid").startswith(_ENCRYPTED):
        return True
    try:
        below = list((device / "slaves").iterdir())
    except OSError:
        return False
    return bool(below) and all(_encrypted(one) for one in below)


def _text(path: Path) -> str:
    """A small file's words; "" where there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
