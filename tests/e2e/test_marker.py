"""A conversation full of a marker, each process crashed in each way: afterwards the marker is nowhere to be found.

Screens, gateways, a worker and commands run side by side; then one search goes over all that can have changed. A
second test plants a marker in each kind of place, to show that the search would have found it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import secrets
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pyte
import pytest

from tests.benchmarks.terminal import Terminal
from tests.e2e.search import Search
from tests.e2e.sequences import left_clean, main_screen
from tests.gateway.running import Running, wait_for

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "medgemma_tui"]
INJECTED = [sys.executable, "-c", "from tests.e2e.injected import main; main()"]
CORES = Path("/proc/sys/kernel/core_pattern").read_text()[:1] not in ("|", "/")
"""Whether a core file would be written to the working directory, where the search looks."""
PATIENCE_S = 60.0
"""For each wait: a dozen programs start at once on a machine that may be busy with others."""


def new_marker() -> str:
    """Small letters only: nothing in it looks like a number, a name or a sequence."""
    return "zq" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(22))


@dataclass
class Box:
    """A machine of our own as far as that goes: home, working directory, run directory; core files are wanted."""

    base: Path
    marker: str
    search: Search
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def directory(self, name: str) -> Path:
        """A private directory, also a socket's place."""
        path = self.base / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def start(self, command: list[str], **more: object) -> subprocess.Popen[bytes]:
        """A process with pipes."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)  # type: ignore[call-overload]
        self.processes.append(process)
        return process


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """The box, with core dumps allowed by everybody but the programs themselves."""
    base = Path(tempfile.mkdtemp(prefix="mg-", dir="/tmp"))
    marker, home = new_marker(), Path.home()
    made = Box(base, marker, Search(marker, [ROOT, *(home / name for name in (".config", ".local", ".cache"))]))
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(made.directory("home")))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(made.directory("cwd"))
    before = resource.getrlimit(resource.RLIMIT_CORE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield made
    resource.setrlimit(resource.RLIMIT_CORE, before)
    for process in made.processes:
        process.kill()
        process.wait()
    shutil.rmtree(base, ignore_errors=True)


# --- screens ---


class Screen:
    """One screen on a pty, whose person writes the marker wherever one can write."""

    def __init__(self, box: Box, command: list[str], **env: str) -> None:
        self.tried = box.directory("textual")  # where Textual would write, if it were let
        told = {
            "TERM": "xterm-256color", "TEXTUAL": "devtools,debug", "TEXTUAL_LOG": str(self.tried / "log"),
            "TEXTUAL_SCREENSHOT": "1", "TEXTUAL_SCREENSHOT_LOCATION": str(self.tried), "TEXTUAL_PRESS": "ctrl+s",
            "TEXTUAL_SCREENSHOT_FILENAME": "x.svg", "TEXTUAL_DRIVER": "no.such:Driver", "TEXTUAL_DEVTOOLS_PORT": "8081",
        }  # fmt: skip
        self.pty = Terminal([*command, "--lang", "en"], columns=160, env={**told, **env})
        self.marker = box.marker
        self.code: int | None = None

    def see(self, wanted: str) -> None:
        """Wait for a text."""
        found = self.pty.read(PATIENCE_S, until=wanted.encode())
        assert found is not None, f"{wanted!r} did not come ({self.pty.process.cmdline()})\n{self.shown()}"

    def shown(self) -> str:
        """What a person sees."""
        display = pyte.Screen(160, 36)
        pyte.ByteStream(display).feed(bytes(self.pty.seen[-60_000:]))
        return "\n".join("".join(display.buffer[y][x].data for x in range(160)).rstrip() for y in range(36))

    def write(self) -> None:
        """Card, question, answer, draft and a paste."""
        self.see("tame loaded")
        self.pty.type("\x1b[14~")
        self.see("These facts")
        self.pty.type(f"62 kg {self.marker}")
        self.see(self.marker)
        self.pty.type("\x1b[14~")  # and no Esc, which might be read together with the key after it
        self.pty.type(f"{self.marker} mode:echo\r")
        self.see(self.marker)
        self.pty.type(f"draft {self.marker} \x1b[200~and {self.marker}\x1b[201~")
        self.see("and")
        self.pty.type("\x13")  # Ctrl+S: some programs' key for a picture of the screen
        self.pty.read(0.5)

    def end(self) -> bytes:
        """Wait for the end; what was written to the terminal."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            self.pty.read(0.1)
            pid, status = os.waitpid(self.pty.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                self.pty.read(0.3)
                os.close(self.pty.master)
                return bytes(self.pty.seen)
        raise AssertionError(f"it did not end\n{self.shown()}")


DEADLY = {signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV}
"""Nobody can put the terminal back after these; the login's wrapper does."""


def signalled(screen: Screen, number: signal.Signals) -> None:
    """A screen that is sent a signal in the middle of an answer."""
    os.kill(screen.pty.pid, number)
    seen = screen.end()
    assert screen.marker.encode() not in main_screen(seen)
    if number in DEADLY:
        assert screen.code == -number
    else:
        assert screen.code == 128 + number
        assert left_clean(seen) == []


def orphaned(screen: Screen) -> None:
    """A screen whose gateway is killed: it starts another, goes on, and ends as ever."""
    for child in screen.pty.process.children():
        child.kill()
    screen.see("tame loaded")
    signalled(screen, signal.SIGTERM)


def crashed(screen: Screen, *, ends: bool) -> None:
    """A screen with a fault on Ctrl+T. ``ends``: it is one that nothing can go on after."""
    screen.pty.type("\x14")
    if not ends:
        screen.pty.read(1.5)
        os.kill(screen.pty.pid, signal.SIGTERM)
    seen = screen.end()
    after = main_screen(seen)
    assert screen.marker.encode() not in after
    assert left_clean(seen) == []
    if ends:
        assert screen.code == 1
        assert b"(id " in after
        assert b"ValueError" in after
        assert b"injected.py" in after


def closed(screen: Screen) -> None:
    """A terminal that goes away."""
    os.close(screen.pty.master)
    assert os.waitpid(screen.pty.pid, 0)


SCREENS: dict[str, Callable[[Screen], None]] = {
    **{number.name: (lambda screen, number=number: signalled(screen, number)) for number in (
        signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGABRT, signal.SIGSEGV,
    )},
    "closed": closed,
    "orphaned": orphaned,
    "screen.handler": lambda screen: crashed(screen, ends=True),
    "screen.thread": lambda screen: crashed(screen, ends=True),
    "screen.callback": lambda screen: crashed(screen, ends=False),
    "screen.task": lambda screen: crashed(screen, ends=False),
    "screen.native": lambda screen: crashed(screen, ends=False),
}  # fmt: skip
PRIVATE = ("SIGKILL", "SIGTERM", "closed", "orphaned")
"""These have a gateway of their own, which must end with them and leave nothing."""


# --- gateways and the worker ---


def body(text: str, **more: object) -> dict[str, object]:
    """A question."""
    return {"messages": [{"role": "user", "content": text}], **more}


def in_flight(gateway: Running, text: str) -> threading.Event:
    """Ask in a thread, and wait until the answer has begun. The event is set when the stream ends, however that is."""
    begun, ended = threading.Event(), threading.Event()

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError), gateway.stream(text, max_tokens=400) as response:
            for _ in response.iter_lines():
                begun.set()
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    assert begun.wait(PATIENCE_S)
    return ended


def gateway_signalled(gateway: Running, marker: str, number: signal.Signals) -> None:
    """A gateway with an answer in flight and a conversation parked."""
    gateway.ready(PATIENCE_S)
    gateway.http.put("/v1/session", json={"conversation": {"messages": body(marker)["messages"]}})
    ended = in_flight(gateway, f"{marker} mode:echo")
    gateway.process.send_signal(number)
    assert gateway.process.wait(PATIENCE_S) == (0 if number == signal.SIGTERM else -number)
    assert ended.wait(PATIENCE_S)


def gateway_failing(gateway: Running, marker: str) -> None:
    """A gateway with faults in its routes, and bodies that are not valid."""
    gateway.ready(PATIENCE_S)
    failed = gateway.http.post("/tokenize", json=body(f"{marker} fault:route"))
    assert failed.status_code == 500
    assert marker not in failed.text
    assert gateway.ask(f"{marker} fault:route").status_code == 500
    in_flight(gateway, f"{marker} fault:gatewaytask mode:echo")
    for wrong in (
        {"messages": marker}, {"messages": [{"role": marker, "content": marker}]}, {marker: marker},
        {**body(marker), "temperature": marker}, {**body(marker), "thinking": marker}, [marker], marker,
    ):  # fmt: skip
        refused = gateway.http.post("/v1/chat/completions", json=wrong)
        assert refused.status_code == 400
    broken = gateway.http.post("/v1/chat/completions", content=f'{{"messages": [{marker}')
    assert broken.status_code == 400
    assert marker not in broken.text
    assert gateway.http.get(f"/v1/models/{marker}").status_code == 404
    assert gateway.http.get(f"/{marker}?{marker}").status_code in (400, 404)


def worker_failing(gateway: Running, marker: str) -> None:
    """A worker on the demo model, with faults where it has a question in hand, ended four times."""
    gateway.ready(PATIENCE_S)
    for fault, status in (("native", 200), ("callback", 200), ("request", 500), ("oom", 500)):
        answer = gateway.ask(f"{marker} fault:{fault}", max_tokens=16)
        assert answer.status_code == status, (fault, answer.text)
        assert status == 200 or marker not in answer.text
    for fault in ("decode", "abort", "segv"):
        before = gateway.health()["worker_pid"]
        answer = gateway.ask(f"{marker} fault:{fault}", max_tokens=16)
        assert answer.status_code in (500, 503)
        assert marker not in answer.text
        wait_for(lambda before=before: gateway.health().get("worker_pid") not in (before, None), PATIENCE_S)
        gateway.ready(PATIENCE_S)
    in_flight(gateway, f"{marker} tell me more")
    os.kill(gateway.health()["worker_pid"], signal.SIGKILL)
    wait_for(lambda: "ended by SIGKILL" in gateway.log.read_text(), PATIENCE_S)


# --- commands ---


def command_failing(box: Box, gateway: Running) -> None:
    """``ask``, ``analyze`` and plain mode that meet an error with a text in hand; nothing of it is on stderr."""
    marker = box.marker
    gateway.ready(PATIENCE_S)
    at = ["--socket", str(gateway.socket), "--lang", "en"]
    for arguments, told in (
        (["ask", "-", "--json", *at], f"{marker} mode:echo"),
        (["analyze", "-", "--lang", "en"], marker),
        (["--plain", *at], f"{marker} mode:echo\n"),
    ):
        process = box.start([*INJECTED, "command", *arguments], stdin=subprocess.PIPE)
        out, err = process.communicate(told.encode(), timeout=PATIENCE_S)
        assert process.returncode == 1, (arguments, out, err)
        _, sentence, report = err.partition(b"stopped because of an error in the program (id ")
        assert sentence, (arguments, err)
        assert b"ValueError" in report
        assert marker.encode() not in report
    for arguments in (["ask", marker, marker, *at], ["ask", f"--{marker}", *at], ["ask", "x", "--seed", "x"]):
        process = box.start([*PROGRAM, *arguments])
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 2
    assert marker.encode() not in err


def asking(box: Box, gateway: Running) -> subprocess.Popen[bytes]:
    """``ask`` with the question on its command line, in the middle of the answer."""
    gateway.ready(PATIENCE_S)
    process = box.start([*PROGRAM, "ask", f"{box.marker} mode:echo", "--socket", str(gateway.socket)])
    assert process.stderr is not None
    while box.marker.encode() not in process.stderr.readline():
        assert process.poll() is None
    return process


def holders(directory: Path) -> list[str]:
    """Processes that have a directory's name on their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(directory) in process.read_bytes():
                found.append(str(process))
    return found


# --- the tests ---


def test_a_marker_is_nowhere_after_every_crash(box: Box) -> None:
    socket = box.base / "engine.sock"
    box.processes.append(subprocess.Popen([sys.executable, "-m", "tests.e2e.hostile_engine", str(socket), "tame"]))

    def gateway(name: str, fault: str = "gateway.none", *arguments: str) -> Running:
        directory = box.directory(name)
        patch = f"import sys; sys.argv.insert(1, {fault!r}); from tests.e2e.injected import main; main()"
        engine = {} if arguments else {"engine_socket": socket}
        more = {"audit_dir": directory / "audit", "slots": 16, "queue_per_user": 16, **engine}
        made = Running(*arguments, directory=directory, patch=patch, **more)
        box.processes.append(made.process)
        return made

    shared, second = gateway("shared"), gateway("second")  # a user may have so many screens at one gateway
    worker = gateway("worker", "gateway.worker", "--demo")
    failing = gateway("failing")
    ended = {
        number: gateway(number.name, "gateway.none")
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGABRT, signal.SIGSEGV)
    }
    for each in (shared, second):
        each.ready(PATIENCE_S)
    with ThreadPoolExecutor(16) as pool:
        jobs: dict[str, Future[None]] = {
            "worker": pool.submit(worker_failing, worker, box.marker),
            "gateway": pool.submit(gateway_failing, failing, box.marker),
            "commands": pool.submit(command_failing, box, shared),
        }
        jobs |= {f"gateway {number.name}": pool.submit(gateway_signalled, each, box.marker, number)
                 for number, each in ended.items()}  # fmt: skip
        screens: dict[str, Screen] = {}
        for name in SCREENS:
            program = [*INJECTED, name] if "." in name else PROGRAM
            config = shared.directory / "settings.toml"
            env = {"XDG_RUNTIME_DIR": str(box.directory(f"run-{name}")), "MEDGEMMA_CONFIG": str(config)}
            if name in PRIVATE:
                screens[name] = Screen(box, program, MEDGEMMA_ENGINE_SOCKET=str(socket), **env)
            else:
                socket_of = (shared, second)[len(screens) % 2].socket
                screens[name] = Screen(box, [*program, "--socket", str(socket_of)], **env)
        for writing in [pool.submit(screen.write) for screen in screens.values()]:
            writing.result()
        asks = asking(box, shared)
        assert box.search.found() == []  # while all of them hold it in memory
        asks.kill()
        jobs |= {f"screen {name}": pool.submit(SCREENS[name], screen) for name, screen in screens.items()}
        wrong = {name: job.exception(PATIENCE_S * 3) for name, job in jobs.items()}
        told = "\n".join(f"{name}: {error!r}" for name, error in wrong.items() if error is not None)
        assert not told, told.replace("\\n", "\n")
    shared.process.kill()
    second.process.kill()
    worker.process.send_signal(signal.SIGTERM)
    worker.process.wait(PATIENCE_S)
    assert list(box.directory("textual").iterdir()) == []
    for name in PRIVATE:
        wait_for(
            lambda name=name: not holders(box.base / f"run-{name}"), PATIENCE_S, what=f"the end of {name}'s gateway"
        )
    logs = {name: (box.base / name / "log").read_text() for name in ("worker", "failing", "shared")}
    assert "ValueError" in logs["failing"]  # they did fail where it was meant, and said so
    assert "ValueError" in logs["worker"]
    assert logs["worker"].count("withheld") >= 1
    for ended_by in ("Segmentation fault", "Aborted", "SIGKILL", "the decode loop failed: ValueError", "out of memory"):
        assert ended_by in logs["worker"]
    assert box.search.found() == []


def test_the_search_finds_a_marker_in_each_kind_of_place(box: Box) -> None:
    marker, base = box.marker, box.directory("planted")
    kinds = {"/planted/file", "/planted/wide", "/planted/code0", "/planted/code1", "/planted/code2", "the name "}
    (base / "file").write_text(f"x{marker}")
    (base / "wide").write_bytes(f"x{marker}".encode("utf-16-le"))
    for shift in range(3):
        (base / f"code{shift}").write_bytes(base64.b64encode(b"-" * shift + marker.encode() + b"-"))
    (base / f"n{marker}").touch()
    with (base / "gone").open("w+") as deleted:
        deleted.write(marker)
        deleted.flush()
        (base / "gone").unlink()
        memory = os.memfd_create("planted")
        os.write(memory, marker.encode())
        shared = Path("/dev/shm") / f"mg-{os.getpid()}"
        shared.write_text(marker)
        kinds |= {"/planted/gone (deleted)", "memfd:planted", str(shared)}
        box.start(["sleep", "100"], env={**os.environ, "PLANTED": marker})
        box.start(["sh", "-c", "sleep 100; true", marker])
        kinds |= {"environ of process", "cmdline of process"}
        if CORES:
            box.start(["sh", "-c", "kill -ABRT $$"], env={**os.environ, "PLANTED": marker}).wait()
            kinds.add("/cwd/core")
        try:
            found = box.search.found()
        finally:
            os.close(memory)
            shared.unlink()
    missed = [kind for kind in kinds if not any(kind in each for each in found)]
    assert missed == []
