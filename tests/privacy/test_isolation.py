"""What the program runs with, whatever it was started with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medgemma_tui.child_environment import handed_on, kept
from medgemma_tui.launch import gateway_environment

PROGRAM = str(Path(sys.executable).parent / "medgemma-tui")
HOSTILE = {
    "LD_PRELOAD": "libc.so.6", "PYTHONPATH": "/nonexistent", "PYTHONSTARTUP": "/nonexistent", "SSH_AUTH_SOCK": "/x",
    "TEXTUAL_LOG": "/nonexistent/log", "https_proxy": "http://x", "HF_TOKEN": "secret", "AWS_KEY": "secret",
    "CUDA_INJECTION64_PATH": "/nonexistent.so", "OMP_TOOL_LIBRARIES": "/nonexistent.so", "NCCL_NET_PLUGIN": "x",
    "CUDA_ENABLE_COREDUMP_ON_EXCEPTION": "1", "CUDA_COREDUMP_FILE": "/nonexistent/core", "NCCL_DEBUG_FILE": "/x",
}  # fmt: skip
HARMLESS = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "TERM": "xterm", "NO_COLOR": "1",
    "MEDGEMMA_LANG": "en", "XDG_CONFIG_HOME": "/nonexistent", "NOTIFY_SOCKET": "@x", "CUDA_VISIBLE_DEVICES": "0",
}  # fmt: skip


def test_what_is_kept():
    assert kept({**HOSTILE, **HARMLESS}) == HARMLESS
    assert handed_on({**HOSTILE, **HARMLESS}).keys() == {"PATH", "LANG", "CUDA_VISIBLE_DEVICES"}


def test_a_private_gateway_needs_no_second_start(monkeypatch):
    """All that it is given is what it would keep."""
    for name, value in {**HOSTILE, **HARMLESS, "SSH_TTY": "/dev/pts/0"}.items():
        monkeypatch.setenv(name, value)
    given = gateway_environment()
    assert kept(given) == given
    assert "MEDGEMMA_LANG" in given
    assert not {"TERM", "SSH_TTY", "NOTIFY_SOCKET", *HOSTILE} & given.keys()


@pytest.mark.parametrize(
    "command",
    [[PROGRAM], [sys.executable, "-m", "medgemma_tui"], [sys.executable, "-I", "-m", "medgemma_tui"]],
    ids=["script", "module", "isolated already"],
)
def test_nothing_of_the_callers_is_left(command, tmp_path):
    """Asked of the running program, while it waits for standard input: its own /proc files say it."""
    (tmp_path / "medgemma_tui").mkdir()
    (tmp_path / "medgemma_tui" / "cli.py").write_text("raise SystemExit('the working directory was imported')")
    environment = {**HARMLESS, **HOSTILE, "PYTHONPATH": str(tmp_path / "none")}
    with subprocess.Popen(
        [*command, "analyze", "-"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, cwd=None if command[0] != PROGRAM else tmp_path,
    ) as program:  # fmt: skip
        assert program.stdin is not None
        program.stdin.write("胸痛\n".encode())
        program.stdin.flush()
        assert program.stdout is not None
        assert program.stdout.readline()  # it is up, and not at its end
        place = Path(f"/proc/{program.pid}")
        names = {one.partition(b"=")[0].decode() for one in (place / "environ").read_bytes().split(b"\0") if one}
        shown = (place / "cmdline").read_bytes().split(b"\0")
        called = (place / "comm").read_text().strip()
        status = (place / "status").read_text()
        out, errors = program.communicate(timeout=30)
    assert not names & HOSTILE.keys()
    assert names >= HARMLESS.keys()
    assert b"-I" in shown
    assert called == "medgemma-tui"
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert program.returncode == 0, (out, errors)


@pytest.mark.parametrize("closed", ["0<&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_stay_harmless(closed, tmp_path):
    """The descriptor of the arguments must not become one of them."""
    result = tmp_path / "result"
    script = f'exec 9>"{result}"; "$@" {closed}; echo $? >&9'
    done = subprocess.run(
        ["sh", "-c", script, "sh", PROGRAM, "terms", "lookup", "胸痛"], env=HARMLESS, capture_output=True, text=True
    )
    assert result.read_text() == "0\n"
    assert "Traceback" not in done.stderr
    if "1>" not in closed:
        assert "Chest pain" in done.stdout


def test_a_program_around_ours_is_not_lost():
    """Somebody's own script that calls us with changes of its own stays what it is."""
    code = "from medgemma_tui.privacy import isolation; isolation.enter(); print(1)"
    done = subprocess.run([sys.executable, "-c", code, "locate"], capture_output=True, text=True)
    assert done.stdout == "1\n"
