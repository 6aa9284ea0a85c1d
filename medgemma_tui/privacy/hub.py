"""``python -I -m medgemma_tui.privacy.hub DIR``: try to download from the Hub by repo id, and say what came of it.

A process of its own, so that nobody's offline switch is in the way: what is asked is the kernel, not our intention.
It inherits the seal of the process that starts it. One line on stdout: the last error below all others, or ``ok``.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from medgemma_tui.privacy.sockets_tried import said

REPO = "google/medgemma-1.5-4b-it"
FILE = "config.json"
WITHOUT_LIBRARY = "without_library"


def main(directory: str) -> None:
    """Try it. The library is a worker's; where it is not installed, its one request is made without it."""
    os.environ.pop("HF_HUB_OFFLINE", None)
    os.environ.update(HF_HOME=directory, HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_ETAG_TIMEOUT="1")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        print(WITHOUT_LIBRARY, _ask_by_hand())
        return
    time.sleep = lambda seconds: None  # it tries six times and waits 23 s in between
    try:
        hf_hub_download(REPO, FILE, cache_dir=directory)
    except Exception as error:
        print("huggingface_hub", root_of(error))
        return
    print("huggingface_hub ok")


def _ask_by_hand() -> str:
    import http.client

    try:
        connection = http.client.HTTPSConnection("huggingface.co", timeout=1)
        connection.request("HEAD", f"/{REPO}/resolve/main/{FILE}")
        connection.getresponse()
    except Exception as error:
        return root_of(error)
    return "ok"


def root_of(error: BaseException) -> str:
    """The kernel's or the resolver's word in a chain of errors, or the name of its kind."""
    seen: BaseException | None = error
    word = type(error).__name__
    met = set()
    while seen is not None and id(seen) not in met:
        met.add(id(seen))
        if isinstance(seen, socket.gaierror):
            word = next((name for name in dir(socket) if name.startswith("EAI_")
                         and getattr(socket, name) == seen.errno), word)  # fmt: skip
        elif isinstance(seen, OSError) and seen.errno is not None:
            word = said(seen)
        seen = seen.__cause__ or seen.__context__
    return word


if __name__ == "__main__":
    main(sys.argv[1])
