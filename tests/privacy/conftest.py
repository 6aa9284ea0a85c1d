"""Sealed processes to look at: sealing is for good, so never in the test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest

NOBODY = 61234
"""A uid that no account has."""

PREAMBLE = """
import ctypes, errno, json, os, socket, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    if libc.syscall(*[ctypes.c_long(one) if isinstance(one, int) else one for one in (number, *arguments)]) >= 0:
        return "ok"
    return errno.errorcode[ctypes.get_errno()]
def of(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
"""


@pytest.fixture(scope="session")
def child() -> Callable[..., object]:
    """Run code in a process of its own, after ``seal(role)`` where a role is given; what it gives to ``tell``."""

    def run(code: str, role: str = "", prefix: tuple[str, ...] = (), **options: object) -> object:
        close = f"from medgemma_tui.privacy.seal import seal\nclosed = seal({role!r})\n" if role else ""
        program = f"{PREAMBLE}\ntold = []\ntell = told.append\n{close}{code}\nprint(json.dumps(told[-1]))"
        command = [*prefix, sys.executable, "-I", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def as_nobody() -> tuple[str, ...]:
    """The beginning of a command that runs the rest as another user without any right.

    Where our Python lies in a home that others may not enter, that home is shown to it in a mount namespace, less all
    that is not Python.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--"]
    python = os.path.realpath(sys.executable)
    if not shutil.which("setpriv") or not shutil.which("unshare"):
        pytest.skip("needs setpriv and unshare (util-linux)")
    shut = next((place for place in _above(python) if not os.stat(place).st_mode & 0o001), None)
    if shut is None:
        return tuple(drop)
    kept = os.path.join(shut, os.path.relpath(python, shut).split(os.sep)[0])
    script = (
        'set -e; t=$(mktemp -d); mount --bind "$2" "$t"; mount -t tmpfs -o mode=755 tests "$1"; mkdir -p "$2"; '
        'mount --bind "$t" "$2"; umount "$t"; rmdir "$t"; shift 2; exec "$@"'
    )
    command = ("unshare", "-m", "--propagation=private", "sh", "-c", script, "sh", shut, kept, *drop)
    tried = subprocess.run([*command, sys.executable, "-I", "-c", "import os; print(os.getuid())"], capture_output=True)
    if tried.stdout.decode().strip() != str(NOBODY):
        pytest.skip(f"another user cannot be given our Python here: {tried.stderr.decode()[-200:]}")
    return command


def _above(path: str) -> list[str]:
    """The directories above a path, from the root down."""
    places = []
    while path != "/":
        path = os.path.dirname(path)
        places.append(path)
    return places[::-1]
