"""Another Unix user with a client of their own: a child process that has become that user before it connects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# Starts as root, so that it can read an interpreter that lies in root's home; all it needs is imported before.
_CHILD = """
import encodings.idna, http.client, json, os, socket, sys
path, uid, gid, groups = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
os.setgroups(groups); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)
for line in sys.stdin:
    call = json.loads(line)
    connection = Unix("gateway")
    try:
        body = None if call["body"] is None else json.dumps(call["body"])
        connection.request(call["method"], call["target"], body, call["headers"])
        reply = connection.getresponse()
        text = reply.readline() if reply.getheader("content-type", "").startswith("text/event-stream") else reply.read()
        said = [reply.status, dict(reply.getheaders()), text.decode()]
    except OSError as error:
        said = [0, {}, type(error).__name__]
    connection.close()
    print(json.dumps(said), flush=True)
"""


@dataclass(frozen=True)
class Said:
    """A reply; of a stream, its first line. ``status`` 0: the connection was not to be had, and ``text`` says why."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> dict:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The error's code; empty where there is no error."""
        return self.json["error"]["code"] if self.status >= 400 else ""


class User:
    """A process with this uid and these groups, which calls a gateway when told. Use as a context manager."""

    def __init__(self, socket: Path, uid: int, gid: int | None = None, groups: tuple[int, ...] = ()) -> None:
        arguments = [str(socket), str(uid), str(uid if gid is None else gid), json.dumps(groups)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _CHILD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, method: str, target: str, body: object = None, session: str = "", **more: str) -> Said:
        """One call on a new connection; ``more`` headers, with "_" for "-"."""
        headers = {"X-Medgemma-Session": session} if session else {}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        self._process.stdin.write(json.dumps({"method": method, "target": target, "body": body, "headers": headers}))
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Said(*json.loads(self._process.stdout.readline()))

    def __enter__(self) -> User:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()
