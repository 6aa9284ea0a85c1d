"""A gateway as a real process, and what the tests ask of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

STUB = Path(__file__).with_name("engine_stub.py")


def wait_for(condition, timeout_s=20.0, pause_s=0.02, what="it"):
    """Wait until ``condition()`` is true, and return what it gave."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(pause_s)
    raise AssertionError(f"{what} did not come within {timeout_s} s")


def listens(path: Path) -> bool:
    """Whether somebody takes connections there: a socket's file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(str(path)) == 0


def short_directory() -> Path:
    """A new directory with a short name: a Unix socket's path may have 107 bytes."""
    return Path(tempfile.mkdtemp(prefix="mg-", dir="/tmp"))


class Engine:
    """The stub engine as a process of its own."""

    def __init__(self, directory: Path, *arguments: str, tally: Path | None = None) -> None:
        self.socket = directory / "engine.sock"
        env = {**os.environ, **({"STUB_TALLY": str(tally)} if tally else {})}
        self.process = subprocess.Popen([sys.executable, "-I", str(STUB), str(self.socket), *arguments], env=env)
        wait_for(lambda: listens(self.socket), what="the stub engine's socket")
        self.http = client(self.socket)

    def seen(self) -> dict:
        """What came to it."""
        return self.http.get("/seen").json()

    def stop(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()


class Running:
    """``medgemma-tui serve`` as a process. ``settings`` go by the environment."""

    def __init__(
        self, *arguments: str, private: bool = False, directory: Path | None = None, patch: str = "", **settings
    ) -> None:
        self.directory = directory or short_directory()
        self.socket = self.directory / "gateway.sock"
        self.log = self.directory / "log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDGEMMA_")}
        own = {f"MEDGEMMA_{name.upper()}": str(value) for name, value in settings.items()}
        (self.directory / "settings.toml").touch()
        own["MEDGEMMA_CONFIG"] = str(self.directory / "settings.toml")
        program = ["-m", "medgemma_tui"]
        if patch:  # Python that changes a constant first
            program = ["-c", f"{patch}; import sys; from medgemma_tui.cli import run; sys.exit(run())"]
        command = [sys.executable, *program, "serve", "--socket", str(self.socket), *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command + (["--private"] if private else []),
                env={**kept, "OMP_NUM_THREADS": "1", **own},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        self.http = client(self.socket)

    def listening(self) -> Running:
        """Wait until it answers."""

        def up():
            assert self.process.poll() is None, self.log.read_text()
            return self.socket.exists()

        wait_for(up, what="the gateway's socket")
        return self

    def ready(self, timeout_s: float = 120.0) -> Running:
        """Wait until the model answers and the audit log is open."""
        self.listening()

        def is_ready() -> bool:
            reply = self.http.get("/health")
            return reply.status_code == 200 and "audit" in reply.json()

        wait_for(is_ready, timeout_s, 0.05, "a ready model")
        return self

    def health(self) -> dict:
        return self.http.get("/health").json()

    def records(self, *events: str, since: int = 0) -> list[dict]:
        """The audit log's records, those of these events where some are named."""
        lines = self.http.get(f"/v1/audit?since_seq={since}").text.splitlines()
        found = [json.loads(line) for line in lines]
        return [record for record in found if not events or record["event"] in events]

    def ask(self, content: str, *, timeout: float = 60.0, headers=None, **fields) -> httpx.Response:
        """One question, its whole reply."""
        body = {"messages": [{"role": "user", "content": content}], **fields}
        return self.http.post("/v1/chat/completions", json=body, headers=headers, timeout=timeout)

    def stream(self, content: str, *, headers=None, **fields):
        """One question's stream, as httpx's context manager."""
        body = {"messages": [{"role": "user", "content": content}], "stream": True, **fields}
        return self.http.stream("POST", "/v1/chat/completions", json=body, headers=headers, timeout=60)

    def metrics(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """The values of /metrics by name and label values."""
        from prometheus_client.parser import text_string_to_metric_families

        text = self.http.get("/metrics").text
        return {
            (sample.name, tuple(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def stop(self) -> int:
        """End it as systemd would; its exit code."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=15)
        if self.process.stdin is not None:
            self.process.stdin.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        return code


def client(socket: Path) -> httpx.Client:
    """An HTTP client on a Unix socket."""
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://gateway", timeout=30)


def events(response: httpx.Response):
    """The data of a stream's events."""
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield line.removeprefix("data: ")


class NotPossible(Exception):
    """Not on this system."""


class SmallDisk:
    """A small file system of its own, that can be filled and made read-only. Raises NotPossible where root may not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "audit"
        path.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "tmpfs", str(path)])
        if mounted.returncode:
            raise NotPossible("this system does not let root mount a tmpfs here")

    def disk_full(self) -> None:
        with open(self.path / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1024))
            except OSError:
                pass

    def read_only(self) -> None:
        self._remount("ro")

    def free(self) -> None:
        self._remount("rw")
        (self.path / "filler").unlink(missing_ok=True)

    def _remount(self, mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self.path)], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True)
