"""A box with a stub NVML: the checks run by the real runner and the real pynvml, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from medgemma_tui import demo

PROGRAM = r"""
import importlib, json, os, sys
from pathlib import Path
from medgemma_tui import i18n
from medgemma_tui.health import kernel_log, run, store, wording
from medgemma_tui.health.checks import gpu
from medgemma_tui.health.checks.gpu import driver
from medgemma_tui.health.context import Context
from medgemma_tui.settings import Settings

for line in sys.stdin:
    asked = json.loads(line)
    kernel_log.KMSG, driver.PCI = Path(asked["kmsg"]), Path(asked["pci"])
    os.environ["PATH"] = asked["path"]
    sys.path.insert(0, asked["torch"])
    importlib.invalidate_caches()
    socket = Path(asked["socket"]) if asked["socket"] else None
    context = Context(
        Settings(**asked["settings"]), store.Store(Path("/nonexistent")), phase="preflight", socket=socket
    )
    only = frozenset([asked["only"]]) if asked["only"] else frozenset()
    if asked["uid"]:
        os.seteuid(asked["uid"])
    report = run.run(context, gpu.CHECKS, run.Selection(only=only, timeout_s=asked["timeout_s"]))
    if asked["uid"]:
        os.seteuid(0)
    del sys.path[0]
    told = []
    for result in report.results:
        words = {}
        for language in ("en", "zh"):
            i18n.set_language(language)
            words[language] = {
                "text": wording.text(result), "advice": wording.advice(result),
                "items": [line for item in result.items for line in wording.item_lines(item)],
            }
        told.append({**result.model_dump(), **words})
    print(json.dumps({"results": told, "torch": "torch" in sys.modules}), flush=True)
"""


class Box:
    """The box. ``check`` runs one check, ``all`` every one of the group."""

    def __init__(self, stub, folder: Path) -> None:
        self.stub = stub
        self.folder = folder
        self._process: subprocess.Popen | None = None
        for name, cuda in (("cuda13", "'13.0'"), ("cuda12", '"12.6"'), ("cuda99", "'99.1'"), ("cpu", "None")):
            package = folder / name / "torch"
            package.mkdir(parents=True)
            (package / "__init__.py").write_text("raise ImportError('nobody imports torch for a health check')\n")
            (package / "version.py").write_text(f"debug = False\ncuda: Optional[str] = {cuda}\nhip = None\n")
        (folder / "broken" / "torch").mkdir(parents=True)
        (folder / "broken" / "torch" / "__init__.py").touch()
        (folder / "bus").mkdir()
        self.reset()

    def reset(self) -> None:
        """The healthy box again."""
        self.stub.set("healthy")
        self.torch = "cuda13"
        self.socket = ""
        self.path = "/nonexistent"
        self.settings = {"model": str(demo.model_dir())}
        self.timeout_s: float | None = None
        self.uid = 0
        self.kmsg("6,0,1,-;Linux version 6.1\n")

    def kmsg(self, text: str) -> Path:
        """What /dev/kmsg gives."""
        path = self.folder / "kmsg"
        path.unlink(missing_ok=True)
        path.write_text(text)
        return path

    def start(self) -> None:
        """A new process: one that has loaded a library keeps it."""
        self.stop()
        env = {name: value for name, value in os.environ.items() if not name.startswith("MEDGEMMA_")}
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**env, **self.stub.env, "MEDGEMMA_CONFIG": str(self.folder / "none.toml"), "TZ": "UTC"},
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
        self._process = None

    @property
    def pid(self) -> int:
        """Of the process that runs the checks."""
        if self._process is None:
            self.start()
        return self._process.pid

    def all(self, only: str = "") -> dict[str, SimpleNamespace]:
        """The results by id."""
        assert self.pid
        asked = {
            "only": only, "settings": self.settings, "socket": str(self.socket), "kmsg": str(self.folder / "kmsg"),
            "pci": str(self.folder / "bus"), "path": self.path, "torch": str(self.folder / self.torch),
            "timeout_s": self.timeout_s, "uid": self.uid,
        }  # fmt: skip
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the checks' process died"
        answer = json.loads(line)
        assert not answer["torch"], "torch was imported"
        return {result["id"]: SimpleNamespace(**result) for result in answer["results"]}

    def check(self, check_id: str) -> SimpleNamespace:
        """One result."""
        return self.all(check_id)[check_id]


@pytest.fixture(scope="session")
def _box(_nvml_built, tmp_path_factory):
    helper, built = _nvml_built
    folder = tmp_path_factory.mktemp("gpu_box")
    (folder / "none.toml").touch()
    stubs = tmp_path_factory.mktemp("gpu_box_nvml")
    box = Box(helper.NvmlStub(built, stubs), folder)
    try:
        yield box
    finally:
        box.stop()


@pytest.fixture
def box(_box):
    """The healthy box, whatever was played before."""
    _box.reset()
    return _box
