"""The real program as a user without any right: what root may do is no proof of what others can."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.privacy.conftest import NOBODY


@pytest.fixture
def home():
    """A directory of that user's; not pytest's, which only its own user may enter."""
    place = tempfile.mkdtemp(prefix="mg-home-")
    os.chown(place, NOBODY, NOBODY)
    yield place
    shutil.rmtree(place)


@pytest.mark.engine
def test_a_question_is_answered_by_three_sealed_processes(as_nobody, home):
    """Each is the next one's child, so filters pile up; the worker, last of them, still has a network to itself."""
    environment = {"PATH": os.environ["PATH"], "HOME": home, "XDG_RUNTIME_DIR": home, "TMPDIR": home,
                   "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"}  # fmt: skip
    question = ["ask", "--demo", "--json", "--max-tokens", "16", "Hello"]
    command = [*as_nobody, sys.executable, "-m", "medgemma_tui", *question]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asking:
        found: dict[str, dict[str, str]] = {}
        while len(found) < 3:
            assert asking.poll() is None, asking.communicate()
            for process in [psutil.Process(asking.pid), *psutil.Process(asking.pid).children(recursive=True)]:
                facts = _facts(process.pid)
                if facts.get("Seccomp") == "2":
                    found[facts["Seccomp_filters"]] = facts
            time.sleep(0.05)
        out, errors = asking.communicate(timeout=120)
    assert asking.returncode == 0, errors
    assert json.loads(out)["finish_reason"] in ("stop", "length")
    ours = os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/user")
    for filters in ("1", "2", "3"):
        facts = found[filters]
        assert facts["NoNewPrivs"] == "1"
        assert facts["Uid"].split() == [str(NOBODY)] * 4
        assert facts["owner"] == "0"  # of its /proc files: not dumpable
        assert int(facts["CapEff"], 16) == 0
        if filters != "3":
            assert (facts["net"], facts["user"]) == ours
    if subprocess.run([*as_nobody, "unshare", "-Un", "true"], capture_output=True).returncode == 0:
        assert found["3"]["user"] != ours[1]
        assert found["3"]["net"] != ours[0]


def _facts(pid: int) -> dict[str, str]:
    """What the kernel says of a process from outside; nothing of one that is gone."""
    place = Path(f"/proc/{pid}")
    try:
        status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        facts = {name: value.strip() for name, value in status.items()}
        facts["owner"] = str((place / "fd").stat().st_uid)
        facts["net"], facts["user"] = (os.readlink(place / "ns" / name) for name in ("net", "user"))
    except OSError:
        return {}
    return facts if facts["owner"] == "0" else {}  # not sealed to the end yet
