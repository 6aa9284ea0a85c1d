"""Builds the stand-in for libnvidia-ml.so.1 (nvml_stub.c) and writes the scenarios it plays.

Other rooms use it through the fixture ``nvml_stub``: merge ``.env`` into a subprocess's environment, and
``.set(name, **changes)`` at any time; the stub reads its scenario again at every call. Changing to or from
``old_driver`` and ``no_library`` swaps the library file, which a process that has loaded it does not notice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

GIB = 1024**3

CARD = {
    "name": "NVIDIA L4",
    "uuid": "GPU-5f1c0a52-0000-4000-8000-000000000000",
    "utilization": "87 45",
    "memory": f"{24 * GIB} {6 * GIB} {17 * GIB} {1 * GIB}",
    "temperature": "61",
    "slowdown": "92",
    "power": "68250",
    "power_limit": "72000",
    "power_default": "72000",
    "pci": "0 65 0",
    "remapped": "0 0 0 0",
    "clock_sm": "1950",
    "clock_sm_max": "2040",
    "clock_mem": "6251",
    "clock_mem_max": "6251",
    "reasons": "0x4",
    "ecc_mode": "1",
    "ecc_volatile": "0 0",
    "ecc_aggregate": "0 0",
    "mig_mode": "0",
    "compute": f"self:{5 * GIB} 999999:?",
    "graphics": "",
    "persistence": "1",
    "capability": "8 9",
    "pstate": "0",
    "fan": "!3",
}
SECOND = CARD | {
    "name": "NVIDIA A10",
    "uuid": "GPU-5f1c0a52-0000-4000-8000-000000000001",
    "temperature": "44",
    "utilization": "0 0",
    "reasons": "0x1",
    "compute": "",
    "fan": "0",
    "pci": "0 b3 0",
}
OLD_CARD = CARD | {"remapped": "!3", "retired_0": "0", "retired_1": "0", "retired_pending": "0", "capability": "7 5"}
"""A T4: before Ampere pages are retired, and no rows remapped."""
DRIVER = {"driver": "580.95.05", "nvml": "13.580.95.05"}


def _scenario(*cards: dict[str, str], **system: str) -> dict[str, str]:
    lines = {**DRIVER, "count": str(len(cards)), **system}
    for index, card in enumerate(cards):
        lines |= {f"{index}.{key}": value for key, value in card.items()}
    return lines


SCENARIOS: dict[str, dict[str, str]] = {
    "healthy": _scenario(CARD),
    "hot_throttled": _scenario(
        CARD | {"temperature": "93", "reasons": "0xE8", "clock_sm": "600", "power": "40000", "pstate": "2"}
    ),
    "ecc_errors": _scenario(CARD | {"ecc_volatile": "12 3", "ecc_aggregate": "4000 7"}),
    "mig": _scenario(
        CARD
        | {
            "name": "NVIDIA A100",
            "mig_mode": "1",
            "utilization": "!3",
            "compute": f"self:{2 * GIB}@1 self:{3 * GIB}@5",
            "mig.0.name": "NVIDIA A100 MIG 3g.40gb",
            "mig.0.uuid": "MIG-0",
            "mig.0.memory": f"{40 * GIB} {2 * GIB} {38 * GIB} 0",
            "mig.3.name": "NVIDIA A100 MIG 1g.10gb",
            "mig.3.uuid": "MIG-3",
            "mig.3.memory": "!4",
        }
    ),
    "two_gpus": _scenario(CARD, SECOND),
    "turing": _scenario(OLD_CARD | {"name": "Tesla T4"}),
    "not_supported": _scenario({"name": "NVIDIA GeForce GT 710"}),
    "lost": _scenario(CARD, SECOND | {"lost": "1"}),
    "no_driver": {"init": "!9"},
    "no_permission": {"init": "!4"},
    "no_device": {**DRIVER, "count": "0"},
    "old_driver": _scenario(CARD, driver="470.256.02", nvml="11.470.256.02"),
    "no_library": {},
    "hang": _scenario(CARD) | {"hang.nvmlDeviceGetPowerUsage": "2500"},
    "hang_for_ever": _scenario(CARD) | {"hang.nvmlDeviceGetPowerUsage": "forever"},
    "two_equal_gpus": _scenario(CARD, CARD | {"uuid": SECOND["uuid"], "pci": SECOND["pci"], "compute": ""}),
}


def build(folder: Path) -> Path:
    """Compile both variants into ``folder``: ``new/`` and ``old/``. Raises FileNotFoundError without gcc."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("gcc is not installed: the stand-in for libnvidia-ml.so.1 cannot be compiled")
    source = Path(__file__).with_name("nvml_stub.c")
    for name, flags in (("new", []), ("old", ["-DOLD_DRIVER"])):
        target = folder / name / "libnvidia-ml.so.1"
        target.parent.mkdir()
        subprocess.run([compiler, "-shared", "-fPIC", "-Wall", *flags, "-o", target, source], check=True)
    return folder


class NvmlStub:
    """One test's stub: its own library folder and scenario file, ``healthy`` to begin with."""

    def __init__(self, built: Path, folder: Path) -> None:
        self._built = built
        self._library = folder / "libnvidia-ml.so.1"
        self._file = folder / "scenario.txt"
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("LD_LIBRARY_PATH")]))
        self.env = {"LD_LIBRARY_PATH": path, "NVIDIA_STUB_SCENARIO": str(self._file)}
        self.set("healthy")

    def set(self, scenario: str, **changes: str) -> None:
        """Play ``scenario`` from now on. ``changes`` are further lines, ``__`` standing for a dot."""
        lines = SCENARIOS[scenario] | {key.replace("__", ".").lstrip("_"): value for key, value in changes.items()}
        fresh = self._file.with_suffix(".new")
        fresh.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()), "utf-8", "surrogateescape")
        fresh.replace(self._file)
        self._library.unlink(missing_ok=True)
        if scenario == "no_library":  # unreadable rather than absent: a real one may be installed
            self._library.write_text("not a library\n")
        else:
            self._library.symlink_to(self._built / ("old" if scenario == "old_driver" else "new") / self._library.name)
