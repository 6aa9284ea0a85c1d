"""kill -9 of gateway, engine, clients and screen, at any moment: the audit log is whole, and lacks no question."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from gateway_running import STUB, Running, short_directory, wait_for

from medgemma_tui.audit.places import Places, beside
from medgemma_tui.audit.verify import verify
from tests.benchmarks.terminal import Terminal

pytestmark = pytest.mark.e2e

KILLS = 50
CLIENTS = 4
PATCH = """
import time
import medgemma_tui.gateway.audit_store as audit_store, medgemma_tui.gateway.logins as logins
logins.LOST_AFTER_S = 0.3
class Slow(audit_store.AuditLog):  # a slow disk, so that a question would overtake its record if it could
    def append(self, entries):
        time.sleep(0.02)
        return super().append(entries)
audit_store.places.AuditLog = Slow""".strip()


def asking(path: str, seed: int) -> None:
    """A client that asks for ever, and leaves some answers in the middle. Runs in a process of its own."""
    chance = random.Random(seed)
    body = {"messages": [{"role": "user", "content": "n=12 pause=0.003"}], "stream": True, "wait": True}
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(3)
                connection.connect(path)
                data = json.dumps(body).encode()
                head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
                connection.sendall(head.encode() + data)
                patience = chance.randrange(1, 40)
                for _ in range(patience):
                    piece = connection.recv(65536)
                    if not piece or b"[DONE]" in piece:
                        break
        except OSError:
            time.sleep(0.02)


class Box:
    """Everything that is killed, and what is counted meanwhile."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tally = directory / "tally"
        self.places: Places = beside(directory / "state" / "audit")
        self.engine: subprocess.Popen | None = None
        self.gateway: Running | None = None
        self.screen: Terminal | None = None
        self.clients: list[int] = []
        self.seed = 0
        self.start_engine()
        self.start_gateway()
        for _ in range(CLIENTS):
            self.start_client()

    def start_engine(self) -> None:
        (self.directory / "engine.sock").unlink(missing_ok=True)
        command = [sys.executable, "-I", str(STUB), str(self.directory / "engine.sock")]
        self.engine = subprocess.Popen(command, env={**os.environ, "STUB_TALLY": str(self.tally)})

    def start_gateway(self) -> None:
        self.gateway = Running(
            directory=self.directory, engine_socket=self.directory / "engine.sock", patch=PATCH,
            audit_dir=self.places.directory, queue_per_user=64, audit_max_bytes=128 * 1024,
        )  # fmt: skip

    def start_client(self) -> None:
        self.seed += 1
        pid = os.fork()
        if not pid:
            try:
                asking(str(self.directory / "gateway.sock"), self.seed)
            finally:
                os._exit(1)
        self.clients.append(pid)

    def start_screen(self) -> None:
        command = [sys.executable, "-m", "medgemma_tui", "--lang", "en", "--socket", str(self.gateway.socket)]
        env = {"XDG_RUNTIME_DIR": str(self.directory), "MEDGEMMA_CONFIG": str(self.directory / "settings.toml")}
        self.screen = Terminal(command, env=env)

    def kill_engine(self) -> None:
        self.engine.kill()
        self.engine.wait()
        self.start_engine()

    def kill_gateway(self) -> None:
        self.gateway.process.kill()
        self.gateway.process.wait()
        self.gateway.http.close()
        self.check(torn=True)
        self.start_gateway()

    def kill_client(self) -> None:
        pid = self.clients.pop(0)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.start_client()

    def kill_screen(self) -> None:
        if self.screen is not None:
            os.kill(self.screen.pid, signal.SIGKILL)
            self.screen.close()
        self.start_screen()

    def ready(self) -> None:
        """Wait until questions are answered; a killed gateway's socket is still there when the next one starts."""

        def answers():
            try:
                return self.gateway.http.get("/health").status_code == 200
            except httpx.TransportError:
                assert self.gateway.process.poll() is None, self.gateway.log.read_text()
                return False

        wait_for(answers, 60, what="a ready gateway")

    def questions(self) -> int:
        return sum(path.read_bytes().count(b'"event":"question"') for path in self.places.directory.glob("*.jsonl"))

    def check(self, *, torn: bool = False) -> None:
        """The log is whole, and no question reached the engine without its record."""
        reached = self.tally.stat().st_size if self.tally.exists() else 0  # first: a record comes before its question
        verdict = verify(self.places.directory, self.places.key, self.places.anchors)
        wrong = [each for each in verdict.findings if not (torn and each.kind == "torn_tail")]
        assert not wrong, wrong
        assert self.questions() >= reached

    def close(self) -> None:
        for pid in self.clients:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        if self.screen is not None:
            self.screen.close()
        if self.gateway is not None:
            self.gateway.stop()
        if self.engine is not None:
            self.engine.kill()
            self.engine.wait()


@pytest.fixture
def box():
    directory = short_directory()
    opened = Box(directory)
    try:
        yield opened
    finally:
        opened.close()
        shutil.rmtree(directory, ignore_errors=True)


def test_whatever_is_killed_the_audit_log_is_whole_and_lacks_no_question(box):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    box.ready()
    box.start_screen()
    kills = [box.kill_gateway] * 12 + [box.kill_engine, box.kill_client] * 18 + [box.kill_screen] * 2
    chance.shuffle(kills)
    for number, kill in enumerate(kills):
        time.sleep(chance.choice((0, 0.02, 0.1, 0.3)))
        kill()
        box.check(torn=kill == box.kill_gateway)
        if number % 10 == 9:  # let it come to rest, so that there are questions to lose
            box.ready()
            before = box.questions()
            wait_for(lambda before=before: box.questions() > before + 9, what="questions again")
            box.check()
    assert len(kills) == KILLS
    assert box.tally.stat().st_size >= KILLS
    print(f"{box.tally.stat().st_size} questions reached the engine, {box.questions()} are on record")
    lost_screen(box)
    box.ready()
    box.check()
    command = [sys.executable, "-m", "medgemma_tui", "audit", "verify", "--dir", str(box.places.directory)]
    config = {"MEDGEMMA_CONFIG": str(box.directory / "settings.toml")}
    told = subprocess.run(command, env={**os.environ, **config}, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr


def lost_screen(box):
    """A screen that is killed is recorded as a session that was lost."""
    box.ready()
    box.kill_screen()
    since = box.gateway.records()[-1]["seq"]

    def logins(outcome, event):
        box.screen.read(0.05)
        return [record for record in box.gateway.records(event, since=since) if record["outcome"] == outcome]

    login = wait_for(lambda: logins("ok", "login"), 30, what="the screen's login")[-1]
    box.screen.read(1.2)  # its telemetry stream has begun
    os.kill(box.screen.pid, signal.SIGKILL)

    def lost():
        return [record for record in logins("lost", "logout") if record["session"] == login["session"]]

    wait_for(lost, what="the end of a lost session")
    assert login["uid"] == lost()[0]["uid"] == os.getuid()
