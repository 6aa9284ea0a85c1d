"""``host.system``: distribution, kernel, glibc and Python, against those that this version was tested on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.health.tested import Tested, is_tested, number, tested
from medgemma_tui.protocol import Item

OS_RELEASE: Final = (Path("/etc/os-release"), Path("/usr/lib/os-release"))


@dataclass(frozen=True, slots=True)
class Box:
    """What this box runs."""

    id: str
    version: str
    name: str
    kernel: str
    glibc: str
    """Empty where the C library is another one."""
    python: str


def run(_context: Context) -> Outcome:
    """Read and compare."""
    return judge(read(), tested())


def read(os_release: tuple[Path, ...] = OS_RELEASE) -> Box:
    """What this box says of itself."""
    told: dict[str, str] = {}
    for path in os_release:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        told = {name: value.strip("\"'") for name, _is, value in (line.partition("=") for line in lines)}
        break
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (OSError, ValueError):
        libc = ""
    return Box(
        id=told.get("ID", ""),
        version=told.get("VERSION_ID", ""),
        name=told.get("PRETTY_NAME") or told.get("NAME", "") or platform.system(),
        kernel=platform.release(),
        glibc=libc.removeprefix("glibc ") if libc.startswith("glibc ") else "",
        python=platform.python_version(),
    )


def judge(box: Box, known: Tested) -> Outcome:
    """Too old to work at all, not seen by us, or tested."""
    names = ", ".join(each.name for each in known.system)
    params = {
        "system": box.name, "kernel": box.kernel, "glibc": box.glibc or "?", "python": box.python, "tested": names,
        "needed": known.glibc.lowest,
    }  # fmt: skip
    if not box.glibc:
        return Outcome("no_glibc", params)
    if number(box.glibc) < number(known.glibc.lowest):
        return Outcome("old_glibc", params)
    if number(box.kernel) < number(known.kernel.lowest):
        return Outcome("old_kernel", {**params, "needed": known.kernel.lowest})
    if number(box.python) < number(known.python.lowest):
        return Outcome("old_python", {**params, "needed": known.python.lowest})
    items = []
    if not any(box.id == each.id and box.version == each.version for each in known.system):
        items.append(Item(code="untested_system", params={"found": box.name, "tested": names}))
    if number(box.kernel) < number(known.kernel.warn_below):
        params_ = {"found": box.kernel, "lowest": known.kernel.warn_below}
        items.append(Item(code="untested_kernel", params=params_))
    if not is_tested(box.python, known.python):
        items.append(
            Item(code="untested_python", params={"found": box.python, "tested": ", ".join(known.python.tested)})
        )
    return Outcome("untested" if items else "tested", params, items=tuple(items))


CHECK = Check("host.system", run)
