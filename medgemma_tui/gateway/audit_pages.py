"""``GET /v1/audit`` and ``/v1/audit/verify``: the log's own lines, and what they are worth, for auditors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from medgemma_tui.audit import files, places
from medgemma_tui.audit.errors import for_os_error
from medgemma_tui.audit.verify import verify
from medgemma_tui.http_errors import ApiError
from medgemma_tui.settings import Settings

_PIECE = 64 * 1024
_SEQ = re.compile(rb'\{"v":1,"seq":([0-9]{1,15}),')


class AuditPages:
    """The two calls, on the log that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._verifying = asyncio.Lock()

    async def lines(self, request: Request) -> Response:
        """The log as it is on the disk, a record a line; ``?since_seq=N``: what came after that one."""
        since = request.query_params.get("since_seq", "0")
        if not (since.isascii() and since.isdigit() and len(since) <= 15):
            raise ApiError(400, "invalid_request_error", "since_seq: must be a number", param="since_seq")
        directory = places.of(self._settings).directory
        try:
            listed = await asyncio.to_thread(files.listed, directory)
        except FileNotFoundError:
            listed = []
        except OSError as error:
            problem = for_os_error(error, directory, "the audit log cannot be read")
            raise ApiError(503, "audit_unreadable", str(problem), code=problem.code) from None
        firsts = [file.first for file in listed[1:]] + [2**63]
        wanted = [file.path for file, following in zip(listed, firsts, strict=True) if following > int(since) + 1]
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(_read(wanted, int(since)), media_type="application/x-ndjson", headers=headers)

    async def verify(self, _request: Request) -> Response:
        """Check all of it, in a thread; one check at a time."""
        where = places.of(self._settings)
        async with self._verifying:
            verdict = await asyncio.to_thread(verify, where.directory, where.key, where.anchors)
        return Response(verdict.model_dump_json(), media_type="application/json")


async def _read(paths: list[Path], since: int) -> AsyncIterator[bytes]:
    """Whole lines, a piece of the log at a time; a line that is being written is left for the next call."""
    for path in paths:
        try:
            opened = await asyncio.to_thread(files.reader, path)
        except FileNotFoundError:  # too old to be kept, meanwhile
            continue
        with opened as file:
            rest = b""
            while piece := await asyncio.to_thread(file.read, _PIECE):
                *lines, rest = (rest + piece).split(b"\n")
                if wanted := [line for line in lines if _after(line, since)]:
                    yield b"\n".join(wanted) + b"\n"


def _after(line: bytes, since: int) -> bool:
    """Whether it is a later record than that; what is no record at all is shown, too."""
    found = _SEQ.match(line)
    return found is None or int(found[1]) > since
