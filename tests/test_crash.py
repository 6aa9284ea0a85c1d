"""What an error leaves behind: kind and place, and nothing of what it said."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from medgemma_tui import crash
from medgemma_tui.quiet import Quiet, answers

SECRET = "Mrs Zhang, INR 5"


def failing(secret: str = SECRET) -> None:
    try:
        raise KeyError(secret)
    except KeyError:
        raise ValueError(f"while handling {secret}") from None


def caught() -> ValueError:
    try:
        failing()
    except ValueError as error:
        return error
    raise AssertionError


def test_a_stack_has_kinds_and_places_only():
    try:
        try:
            failing()
        except ValueError as error:
            raise RuntimeError(SECRET) from error
    except RuntimeError as error:
        lines = crash.stack(error)
    assert lines[0] == "RuntimeError"
    assert "ValueError" in lines
    assert any(line.endswith(" failing") for line in lines)
    assert SECRET not in "\n".join(lines)


def test_errors_that_cause_each_other_come_to_an_end():
    one, other = ValueError(SECRET), KeyError(SECRET)
    one.__cause__, other.__cause__ = other, one
    assert crash.stack(one) == ["ValueError", "KeyError"]


def test_a_log_line_is_one_safe_line_without_the_message():
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "model %s", ("\x1b]0;p\x07\nnext",), None)
    record.exc_info = (ValueError, caught(), None)
    record.exc_text = f"ValueError: {SECRET}"  # another handler was there first
    line = crash.LogFormatter().format(record)
    assert line.startswith("ERROR x: model ]0;p next ValueError | ")
    assert SECRET not in line
    assert "\n" not in line


def test_a_task_that_nobody_waits_for_is_logged_without_its_message():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(crash.LogFormatter())
    logging.getLogger().addHandler(handler)

    async def run() -> None:
        crash.watch(asyncio.get_running_loop())
        asyncio.get_running_loop().call_soon(failing)
        await asyncio.sleep(0)

    try:
        asyncio.run(run())
    finally:
        logging.getLogger().removeHandler(handler)
    assert "ValueError" in stream.getvalue()
    assert "Zhang" not in stream.getvalue()


@pytest.mark.parametrize(
    "fault",
    [
        "raise ValueError(SECRET)",
        "import threading; t = threading.Thread(target=lambda: [][SECRET]); t.start(); t.join()",
        "class Late:\n    def __del__(self): raise ValueError(SECRET)\nLate()",
        "import logging; logging.getLogger('x').error('failed', exc_info=ValueError(SECRET))",
        "import logging; logging.getLogger('x').warning('%d', SECRET)",
    ],
    ids=["main", "thread", "collected", "logged", "log that fails"],
)
def test_nothing_that_python_prints_by_itself_has_the_message(fault):
    program = f"SECRET = {SECRET!r}\nfrom medgemma_tui import crash; crash.install()\n{fault}\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "Zhang" not in done.stderr + done.stdout
    assert "Error" in done.stderr or "log" in fault


def test_reports_wait_while_a_screen_is_up(capsys, monkeypatch):
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with crash.held():
        crash.passed_over(caught())
        assert capsys.readouterr().err == ""
    told = capsys.readouterr().err
    assert "ValueError" in told
    assert "Zhang" not in told


def test_an_unexpected_error_of_a_route_is_answered_once_and_logged_by_its_place(caplog):
    async def route(_request):
        failing()

    app = Starlette(routes=[Route("/", route)], exception_handlers={Exception: answers("the gateway")})
    quiet = Quiet(app, "the gateway", logging.getLogger("test"))
    with caplog.at_level(logging.ERROR):
        reply = TestClient(quiet, raise_server_exceptions=True).get("/")
    assert reply.status_code == 500
    assert reply.json()["error"]["type"] == "internal_error"
    assert "a request failed: ValueError" in caplog.text
    assert "Zhang" not in caplog.text + reply.text


def test_an_unexpected_error_in_a_stream_ends_it_with_an_error_event():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        failing()

    reply = TestClient(Quiet(app, "the gateway", logging.getLogger("test"))).get("/")
    assert reply.text.startswith("data: {}\n\ndata: ")
    assert '"internal_error"' in reply.text
    assert "Zhang" not in reply.text
