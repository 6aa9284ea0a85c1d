"""An OpenAI-compatible engine on a real Unix socket that says what it is told to, at the pace that it is told."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

CARD = {"id": "scripted", "max_model_len": 4096}


class Engine:
    """``answers``: by question; ``""`` for all others. ``finish``, ``usage`` and ``refuse`` (status, error) are of the
    next replies; ``pause_s`` comes before each token; ``hold`` is waited for before the first one. What came is in
    ``asked``."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "engine.sock"
        self.card = dict(CARD)
        self.asked: list[dict] = []
        self.reset()
        self._server = _Server(str(self.socket), _handler(self))
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def reset(self) -> None:
        self.answers = {"": "word " * 64}
        self.finish = "stop"
        self.reasoning = ""
        self.usage: dict = {}
        self.refuse: tuple[int, dict] | None = None
        self.pause_s = 0.0
        self.hold = threading.Event()
        self.hold.set()
        self.asked.clear()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


def _handler(engine: Engine) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def address_string(self):
            return "unix"

        def log_message(self, *_arguments):
            pass

        def do_GET(self):
            self._send(200, {"object": "list", "data": [engine.card]})

        def do_DELETE(self):
            self._send(200, {})

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if "messages" not in request or self.path == "/tokenize":
                self._send(200, {"count": 1, "max_model_len": 4096})
                return
            engine.asked.append(request)
            engine.hold.wait(20)
            if engine.refuse is not None:
                status, error = engine.refuse
                self._send(status, {"error": error})
                return
            with contextlib.suppress(OSError):
                self._answer(request)

        def _answer(self, request):
            answer = engine.answers.get(request["messages"][-1]["content"], engine.answers[""])
            tokens = answer.split(" ")
            tokens = [word + " " for word in tokens[:-1]] + tokens[-1:] if answer else []
            tokens = tokens[: request.get("max_tokens", 4096)]
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            if engine.reasoning:
                self._event(delta={"reasoning": engine.reasoning})
            for token in tokens:
                time.sleep(engine.pause_s)
                self._event(delta={"content": token})
            self._event(delta={}, finish_reason=engine.finish)
            usage = {"prompt_tokens": 5, "completion_tokens": len(tokens), "total_tokens": 5 + len(tokens)}
            self._raw({"choices": [], "usage": usage | engine.usage})
            self.wfile.write(b"data: [DONE]\n\n")

        def _event(self, **choice):
            self._raw({"choices": [{"index": 0, "finish_reason": None, **choice}]})

        def _raw(self, fields):
            head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
            self.wfile.write(b"data: " + json.dumps(head | fields).encode() + b"\n\n")
            self.wfile.flush()

        def _send(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
