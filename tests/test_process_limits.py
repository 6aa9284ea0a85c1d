"""Looked at from outside: the limits of a process and of its child."""

from __future__ import annotations

import subprocess
import sys


def test_no_core_dumps():
    code = (
        "import subprocess, sys\nfrom medgemma_tui.process_limits import no_core_dumps\n"
        "no_core_dumps()\nno_core_dumps()  # twice is fine\n"
        "subprocess.run(['cat', '/proc/self/limits'], check=True)\n"
        "sys.exit(bool({'torch', 'textual'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]
