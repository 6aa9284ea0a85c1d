"""``host.packages``: the installed packages are those that this version was tested with, and none is missing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.health.tested import constraints, plain, tested
from medgemma_tui.protocol import Item


def run(context: Context) -> Outcome:
    """Compare each package that matters with its tested version."""
    try:
        pinned = constraints()
    except OSError as error:
        return Outcome("no_list", {"reason": error.strerror or "I/O error"})
    names = tested().packages
    engine = [] if context.settings.uses_engine else names.engine
    missing, differing = _compare([*engine, *names.base], pinned)
    torch = _version("torch") or "?"
    params = {"count": str(len(engine) + len(names.base)), "torch": torch}
    if missing:
        code = "missing_engine" if any(item.params["name"] in engine for item in missing) else "missing"
        listed = ", ".join(item.params["name"] for item in missing)
        return Outcome(code, {**params, "names": listed}, items=(*missing, *differing))
    if context.installed and engine and _build(torch) == "cpu":
        return Outcome("cpu_build", params, items=tuple(differing))
    if differing:
        listed = ", ".join(item.params["name"] for item in differing)
        return Outcome("differs", {**params, "names": listed}, items=tuple(differing))
    return Outcome("tested" if engine else "tested_base", params)


def _compare(names: Sequence[str], pinned: dict[str, str]) -> tuple[list[Item], list[Item]]:
    missing, differing = [], []
    for name in names:
        version, wanted = _version(name), pinned.get(plain(name), "")
        params = {"name": name, "found": version or "", "tested": wanted or "?"}
        if version is None:
            missing.append(Item(code="package_missing", params=params))
        elif version.partition("+")[0] != wanted:  # the part behind + names the build, as in 2.13.0+cpu
            differing.append(Item(code="package_differs", params=params))
    return missing, differing


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _build(version: str) -> str:
    return version.partition("+")[2]


CHECK = Check("host.packages", run)
