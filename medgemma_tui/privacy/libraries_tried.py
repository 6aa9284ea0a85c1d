"""The libraries that could call home, tried: HTTP clients, and a download from the Hub by its repo id."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile

from medgemma_tui.child_environment import handed_on
from medgemma_tui.privacy import hub
from medgemma_tui.privacy.sockets_tried import NOWHERE, said
from medgemma_tui.protocol import Finding, Verdict

_CONNECT_S = 0.5
_HUB_S = 20.0
"""Seconds for a process that imports the Hub's library on a busy machine."""
_SHUT = {"EPERM", "EACCES", "EAI_AGAIN", "EAI_NONAME", "EAI_FAIL", "EAI_SYSTEM", "EAI_FAMILY", "ENETUNREACH"}
"""What the kernel and the resolver say where there is no way out."""


def try_all(*, sockets_open: bool) -> list[Finding]:
    """One finding a library. The Hub is not called where a socket was to be had: that would be the very packet."""
    found = [_http()]
    if "httpx" in sys.modules:
        found.append(_httpx())
    found.append(_hub(sockets_open))
    return found


def _http() -> Finding:
    connection = http.client.HTTPConnection(NOWHERE, 80, timeout=_CONNECT_S)
    call = f"http.client GET http://{NOWHERE}/"
    try:
        connection.request("GET", "/")
    except OSError as error:
        return _answer("http_client", call, said(error))
    finally:
        connection.close()
    return _answer("http_client", call, "ok")


def _httpx() -> Finding:
    import httpx

    call = f"httpx GET http://{NOWHERE}/"
    try:
        with httpx.Client(trust_env=False, timeout=_CONNECT_S) as client:
            client.get(f"http://{NOWHERE}/")
    except Exception as error:
        return _answer("httpx", call, hub.root_of(error))
    return _answer("httpx", call, "ok")


def _hub(sockets_open: bool) -> Finding:
    call = f"hf_hub_download({hub.REPO}, {hub.FILE})"
    if sockets_open:
        return _finding("hub", call, "not tried", "open", "sockets_open")
    try:
        with tempfile.TemporaryDirectory(prefix="medgemma-tui-") as directory:
            child = subprocess.run(
                [sys.executable, "-I", "-m", hub.__name__, directory],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**handed_on(os.environ), "HOME": directory},
                timeout=_HUB_S,
            )
    except (OSError, subprocess.SubprocessError) as error:
        return _finding("hub", call, type(error).__name__, "unknown")
    library, _, word = child.stdout.decode(errors="replace").strip().partition(" ")
    if child.returncode or not word:
        return _finding("hub", call, f"exit code {child.returncode}", "unknown")
    code = library if library == hub.WITHOUT_LIBRARY else ""
    return _finding("hub", call, word, "shut" if word in _SHUT else "open", code)


def _answer(name: str, call: str, word: str) -> Finding:
    return _finding(name, call, word, "shut" if word in _SHUT else "open")


def _finding(name: str, tried: str, answer: str, verdict: Verdict, code: str = "") -> Finding:
    return Finding(id=name, kind="probe", tried=tried, said=answer, verdict=verdict, code=code)
