"""Hostile text through the commands, with a terminal at their stdout and stderr: lines get out of them, and no more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.benchmarks.terminal import Terminal
from tests.e2e.attacks import ATTACKS, LINE
from tests.e2e.sequences import LINES, unexpected
from tests.gateway.running import Running

pytestmark = pytest.mark.e2e

EVIL = "e\x1b]0;p\x07\x9b2J\u202e"
ONE_LINE = "".join(char for char in LINE if char not in "\0\n\r\x85")
SHORT = "".join(char for char in "".join(ATTACKS.values()) if char not in "\0\n")[:120]


@dataclass(frozen=True)
class Place:
    """An evil directory with evil files, and a service before the hostile engine."""

    directory: Path
    socket: Path


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """The place; one gateway serves all commands."""
    base = Path(tempfile.mkdtemp(prefix="mg-", dir="/tmp"))
    directory = base / EVIL
    directory.mkdir(mode=0o700)
    (directory / "bad.toml").write_text("no toml [ \x1b]0;p\x07")
    (directory / "odd.toml").write_text('"\\u001b]0;p\\u0007\\u202e" = 1\n')
    (directory / "lines.tsv").write_text(f"{ONE_LINE}\t{ONE_LINE}\t{ONE_LINE}\nmi\t{ONE_LINE}\theart\n")
    engine = subprocess.Popen([sys.executable, "-m", "tests.e2e.hostile_engine", str(base / "engine.sock")])
    gateway = Running(directory=base, engine_socket=base / "engine.sock", audit_dir=base / "audit", queue_per_user=16)
    yield Place(directory, gateway.ready().socket)
    gateway.stop()
    engine.kill()
    engine.wait()
    shutil.rmtree(base, ignore_errors=True)


@dataclass(frozen=True)
class Case:
    """A command line. ``{d}`` is the evil directory, ``{s}`` the service's socket; ``typed`` are lines for plain mode;
    ``told`` is a text that shows that the command did get to where the hostile text is.
    """

    arguments: tuple[str, ...]
    told: str
    env: tuple[tuple[str, str], ...] = ()
    typed: tuple[str, ...] = ()


def ask(mode: str, told: str, *more: str) -> Case:
    """``ask`` with a hostile question, for one of the engine's ways to answer."""
    return Case(("ask", f"{ONE_LINE} mode:{mode}", "--socket", "{s}", *more), told)


def setting(name: str, value: str, told: str, *arguments: str) -> Case:
    """A command under a hostile setting."""
    return Case(arguments or ("locate",), told, env=((f"MEDGEMMA_{name}", value),))


CASES = {
    "ask": ask("split", "THE END"),
    "ask bytes": ask("bytes", "THE END"),
    "ask json": ask("whole", '"answer"', "--json"),
    "ask refused": ask("refuse", "refused"),
    "ask refused json": ask("refuse", '"error"', "--json"),
    "ask broken off": ask("fail", "so far"),
    "ask odd end": ask("finish", "Ended: "),
    "ask surrogates": ask("surrogate", "process stopped", "--json"),
    "plain": Case(
        ("--plain", "--socket", "{s}"),
        "There is no command",
        typed=(
            "mode:whole",
            "mode:refuse",
            "mode:finish",
            "/status",
            "/prompt",
            "/marks",
            f"/{SHORT}",
            f"/card {SHORT}",
        ),
    ),
    "analyze": Case(("analyze", f"{ONE_LINE} 身份证 110101199003074477"), "INR"),
    "analyze json": Case(("analyze", "--json", ONE_LINE), "INR"),
    "terms": Case(("terms", "lookup", f"{ONE_LINE} 糖尿病"), "5A14"),
    "terms json": Case(("terms", "lookup", "--json", f"{ONE_LINE} 糖尿病"), "5A14"),
    "terms import": Case(("terms", "import", "{d}/bad.toml"), "stored"),
    "terms import name": Case(("terms", "import", "{d}/lines.tsv", "--name", SHORT), "--name"),
    "model": Case(("ask", "--model", "{d}", "x"), "config.json"),
    "model missing": Case(("ask", "--model", "{d}/no", "x"), "no model directory"),
    "serve model": Case(("serve", "--model", "{d}", "--socket", "{d}/s"), "model"),
    "serve socket": Case(("serve", "--demo", "--socket", "{d}/no/s"), "no directory"),
    "socket": Case(("ask", "--socket", "{d}/s", "x"), "does not answer"),
    "privacy": Case(("privacy", "--socket", "{d}/s"), ""),
    "audit": Case(("audit", "verify"), "", env=(("MEDGEMMA_AUDIT_DIR", "{d}/audit"), ("MEDGEMMA_AUDIT_KEY", "{d}/k"))),
    "locate": Case(("locate",), "instructions", env=(("MEDGEMMA_CLINICAL_DIR", "{d}"), ("MEDGEMMA_MODEL", "{d}"))),
    "option": Case((f"--{SHORT}",), "No such option"),
    "command": Case((SHORT,), "No such command"),
    "value": Case(("ask", "x", "--seed", SHORT), "--seed"),
    "words": Case(("ask", "x", SHORT), "quotes"),
    "lang": Case(("locate", "--lang", SHORT), "lang"),
    "instructions": setting("INSTRUCTIONS", "{d}", "instructions", "ask", "x", "--socket", "{s}"),
    "config missing": setting("CONFIG", "{d}/no.toml", "not there"),
    "config broken": setting("CONFIG", "{d}/bad.toml", "bad.toml"),
    "config odd": setting("CONFIG", "{d}/odd.toml", "odd.toml"),
    "unknown setting": setting(f"X{EVIL}", "1", "no such setting"),
    "keymap": setting("KEYMAP", '{{"\\u001b]0;p":"\\u202e"}}', "no such command", "--socket", "{s}"),
}


def run(case: Case, place: Place) -> bytes:
    """Everything that a terminal gets from a command until it ends."""

    def filled(text: str) -> str:
        return (
            text.replace("{d}", str(place.directory))
            .replace("{s}", str(place.socket))
            .replace("{{", "{")
            .replace("}}", "}")
        )

    env = {name: filled(value) for name, value in case.env}
    env |= {"HOME": str(place.directory), "XDG_RUNTIME_DIR": str(place.directory), "MEDGEMMA_LANG": "en", **env}
    command = [sys.executable, "-m", "medgemma_tui", *map(filled, case.arguments)]
    screen = Terminal(command, columns=200, env=env)
    for line in case.typed:
        screen.read(30.0, until=b"> ")
        screen.type(f"{line}\n")
    if case.typed:
        screen.read(30.0, until=b"> ")
        screen.type("\x04")
    screen.read(60.0)
    ended, _status = os.waitpid(screen.pid, os.WNOHANG)
    if not ended:
        screen.close()
    else:
        os.close(screen.master)
    return bytes(screen.seen)


def test_commands_write_lines_and_nothing_else(place: Place) -> None:
    with ThreadPoolExecutor(4) as pool:
        seen = dict(zip(CASES, pool.map(lambda case: run(case, place), CASES.values()), strict=True))
    odd = {name: found for name, data in seen.items() if (found := unexpected(data, LINES))}
    assert odd == {}
    quiet = {name: seen[name][-300:] for name, case in CASES.items() if case.told.encode() not in seen[name]}
    assert quiet == {}
