"""What this box is: versions, and the settings in use. No environment, no content of a file that the settings name."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from medgemma_tui import __version__, settings
from medgemma_tui.health.bundle import masking
from medgemma_tui.settings import Settings
from medgemma_tui.telemetry.gpu import GpuReader

_OS_RELEASE: Final = Path("/etc/os-release")
_COUNTED: Final = frozenset({"keymap"})
"""Settings of which only the number of entries is told."""


class Card(BaseModel):
    """One card as NVML names it."""

    name: str
    memory_total: int | None
    compute_capability: str | None


class Versions(BaseModel):
    """``versions.json``."""

    program: str
    python: str
    kernel: str
    machine: str
    libc: str
    os: str
    driver: str | None
    nvml: str | None
    nvml_error: str | None
    cards: list[Card]
    packages: dict[str, str]


class SettingsInUse(BaseModel):
    """``settings.json``: ``file`` was read, ``given`` names what is set there, in the environment or by a flag."""

    file: str
    given: list[str]
    values: dict[str, str | int | float | bool | None]


def versions() -> Versions:
    """Asks NVML, which may hang with its driver: for a thread that can be left behind."""
    reader = GpuReader()
    try:
        cards = reader.read(None)
    finally:
        reader.close()
    return Versions(
        program=__version__,
        python=platform.python_version(),
        kernel=f"{os.uname().sysname} {os.uname().release} {os.uname().version}",
        machine=os.uname().machine,
        libc=" ".join(platform.libc_ver()),
        os=_os_name(),
        driver=cards.driver_version,
        nvml=cards.nvml_version,
        nvml_error=cards.error,
        cards=[
            Card(name=card.name, memory_total=card.memory_total, compute_capability=card.compute_capability)
            for card in cards.samples
        ],
        packages={each.name: each.version for each in sorted(metadata.distributions(), key=lambda each: each.name)},
    )


def settings_in_use(current: Settings) -> SettingsInUse:
    """Every setting's value. All are numbers, words of a short list, names of groups, and paths, which are masked."""
    values = {
        name: len(getattr(current, name)) if name in _COUNTED else _value(getattr(current, name))
        for name in sorted(Settings.model_fields)
    }
    given = [name for name in sorted(current.model_fields_set) if getattr(current, name) is not None]
    return SettingsInUse(file=masking.line(str(settings.config_file())), given=given, values=values)


def _value(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    return masking.line(str(value))


def _os_name() -> str:
    try:
        lines = _OS_RELEASE.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    named = dict(line.split("=", 1) for line in lines if "=" in line)
    return masking.line(named.get("PRETTY_NAME", "").strip('"'))
