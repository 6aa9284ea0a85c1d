"""The README does what it says: its commands are run, its keys are the program's, its files exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from medgemma_tui.demo import corpus
from medgemma_tui.tui import keymap

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


class Gateway(Protocol):
    """The session's gateway on the demo model."""

    socket: Path


def _commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_it_opens_with_the_two_commands() -> None:
    assert _commands()[:2] == ["make demo", "make test"]
    for target in ("demo:", "test:"):
        assert target in (ROOT / "Makefile").read_text()


def test_every_key_of_the_table_is_the_programs_and_none_is_missing() -> None:
    rows = re.findall(r"^\|([^|]+)\|([^|]*)\|([^|]+)\|$", README, re.M)
    told = {key.strip() for first, twin, _what in rows for key in (first, twin)} - {"key", ""}
    bound = {key for command in keymap.COMMANDS if command.place == "screen" for key in keymap.keys_of(command, {})}
    assert {key for key in told if key.startswith(("F", "Ctrl", "Esc"))} == bound


@pytest.mark.engine
@pytest.mark.parametrize(
    "line", [line for line in _commands() if line.startswith(("medgemma-tui ask", "medgemma-tui locate"))]
)
def test_commands_without_a_screen_run(line: str, gateway: Gateway) -> None:
    words = shlex.split(line.replace("--demo", f"--socket {gateway.socket}"))
    done = subprocess.run([str(BIN / words[0]), *words[1:]], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if " ask " in line:  # the demo's answer to a question that it does not know is wrong medicine
        assert corpus.is_known(words[-1], ())
    if "--json" in line:
        assert json.loads(done.stdout)["known"] is True


def test_commands_with_a_screen_or_a_service_are_understood() -> None:
    for line in _commands():
        if line.startswith("medgemma-tui") and " ask" not in line and "locate" not in line:
            words = shlex.split(line)
            helped = subprocess.run(
                [str(BIN / words[0]), *words[1:], "--help"], capture_output=True, text=True, timeout=30
            )
            assert helped.returncode == 0, helped.stderr
            for option in re.findall(r"--[a-z-]+", line):
                assert option in helped.stdout


@pytest.mark.engine
def test_the_python_example_runs(gateway: Gateway) -> None:
    example = re.search(r"```python\n(.*?)```", README, re.S)
    assert example is not None
    code = example.group(1).replace("/tmp/medgemma.sock", str(gateway.socket))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    question = re.search(r'"content": "([^"]+)"', code)
    assert question is not None
    assert corpus.is_known(question[1], ())


def test_files_it_names_are_there() -> None:
    for name in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`((?:medgemma_tui|styles|tests)/[\w/.]*)`", README):
        assert (ROOT / name).exists(), name
