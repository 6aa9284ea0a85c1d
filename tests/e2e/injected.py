"""The real program with a fault put into it: ``python -c "from tests.e2e.injected import main; main()" FAULT …``.

A fault raises (or writes) at a place where the program has a patient's text in hand, with that text in the message
and in its locals: the worst that an honest bug could do. What is around it is the program as it is.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

ROOT = os.fspath(__file__).rpartition("/tests/")[0]
_WORKER = f"import sys; sys.path.insert(0, {ROOT!r}); from tests.e2e.injected import worker; worker()"


def main() -> None:
    """The command line, with the fault that is its first argument."""
    fault = sys.argv.pop(1)
    {"screen": _screen, "command": _command, "gateway": _gateway}[fault.partition(".")[0]](fault)
    from medgemma_tui.__main__ import main as program

    program()


def _raise(text: str) -> None:
    secret = f"while handling {text}"  # in the locals, too
    raise ValueError(secret)


def _native(text: str) -> None:
    """Past Python's streams, as a C library would."""
    data = text.encode()
    ctypes.CDLL(None).write(2, data, len(data))
    os.write(1, data)


class _Late:
    """Fails when it is collected."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __del__(self) -> None:
        _raise(self._text)


# --- the screen: Ctrl+T is the fault ---


def _screen(fault: str) -> None:
    from medgemma_tui.settings import Settings
    from medgemma_tui.tui import environment

    environment.prepare(Settings())  # as the program does, before it imports Textual
    from medgemma_tui.tui.commands import Screen

    def everything(app: Any) -> str:
        turns = app.controller.conversation.turns
        return " ".join([app.chat.draft, app.controller.conversation.card, *(turn.answer for turn in turns)])

    def callback(app: Any) -> None:
        asyncio.get_running_loop().call_soon(_raise, everything(app))

    def task(app: Any) -> None:
        async def fail(text: str) -> None:
            _raise(text)

        task = asyncio.get_running_loop().create_task(fail(everything(app)))
        task.add_done_callback(lambda _done: _Late(everything(app)))

    def thread(app: Any) -> None:
        threading.Thread(target=_raise, args=(everything(app),)).start()

    faults: dict[str, Callable[[Any], None]] = {
        "screen.handler": lambda app: _raise(everything(app)),
        "screen.thread": thread,
        "screen.callback": callback,
        "screen.task": task,
        "screen.native": lambda app: _native(everything(app)),
    }
    Screen.action_toggle_trace = faults[fault]  # type: ignore[method-assign, assignment]


# --- ask, plain mode, analyze: where an answer or a text is judged ---


def _command(fault: str) -> None:
    from medgemma_tui import analyze, ask, plain

    def fail(*texts: object, **_more: object) -> None:
        _raise(" ".join(map(str, texts)))

    ask.review = plain.review = fail  # type: ignore[assignment]
    analyze._text = fail  # type: ignore[assignment]


# --- the gateway: the words "fault:…" in a text choose ---


def _gateway(fault: str) -> None:
    from medgemma_tui.gateway import serve, upstream

    call, events = upstream.Upstream.call, upstream.Upstream.events

    def act(body: object) -> None:
        text = body.model_dump_json() if hasattr(body, "model_dump_json") else str(body)
        if "fault:route" in text:
            _raise(text)
        if "fault:gatewaytask" in text:
            asyncio.get_running_loop().create_task(asyncio.to_thread(_raise, text))
            asyncio.get_running_loop().call_soon(_raise, text)
            threading.Thread(target=_raise, args=(text,)).start()
            _Late(text)
            _native(text)

    def failing_call(self: Any, method: str, path: str, body: object = None, **more: Any) -> Any:
        act(body)
        return call(self, method, path, body, **more)  # type: ignore[arg-type]

    def failing_events(self: Any, request: Any, owner: str) -> Any:
        act(request)
        return events(self, request, owner)

    upstream.Upstream.call = failing_call  # type: ignore[method-assign, assignment]
    upstream.Upstream.events = failing_events  # type: ignore[method-assign]
    command = serve.worker_command

    def patched(*arguments: Any) -> Any:
        made = command(*arguments)
        at = made.arguments.index("--socket")
        return type(made)([sys.executable, "-c", _WORKER, *made.arguments[at:]], made.environment, made.socket)

    if fault == "gateway.worker":
        serve.worker_command = patched


# --- the worker: the words "fault:…" in a question choose ---


def worker() -> None:
    """The worker with its faults; started by a gateway with ``gateway.worker``."""
    parent = os.getppid()
    import faulthandler

    from medgemma_tui.worker import __main__ as program
    from medgemma_tui.worker.service import Service

    real = Service.decode_request
    texts: list[str] = []

    async def failing(self: Service, chat: Any, owner: str, id_: str) -> Any:
        text = chat.messages[-1].text
        texts.append(text)
        if "fault:request" in text:
            _raise(text)
        if "fault:native" in text:
            _native(text)
        if "fault:abort" in text:
            os.abort()
        if "fault:segv" in text:
            ctypes.string_at(0)
        if "fault:oom" in text or "fault:decode" in text:
            _break_decoder(texts)
        if "fault:callback" in text:
            asyncio.get_running_loop().call_soon(_raise, text)
            threading.Thread(target=_raise, args=(text,)).start()
        return await real(self, chat, owner, id_)

    Service.decode_request = failing  # type: ignore[method-assign]
    assert not faulthandler.is_enabled()  # the program's own, and no test's
    program.main(parent)


def _break_decoder(texts: list[str]) -> None:
    from medgemma_tui.worker.decoder import Decoder

    real, steps = Decoder.step, iter(range(1_000_000))

    def step(self: Decoder) -> Any:
        text = texts[-1]
        if "fault:oom" in text and next(steps) == 3:  # once, when it is being answered
            raise RuntimeError(f"CUDA out of memory while reading {text}")
        if "fault:decode" in text:
            _raise(text)
        return real(self)

    Decoder.step = step  # type: ignore[method-assign]
