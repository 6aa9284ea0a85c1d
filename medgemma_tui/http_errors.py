"""Request bodies read within limits, and every failed call's reply: OpenAI's error object with the right status.

Shared by the gateway and the worker's server, so that both word an error alike. ``type`` is the machine's word
(``invalid_request_error``, ``too_large``, ``queue_full``, ``loading`` …); ``message`` is plain English and never
quotes what the body said.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from medgemma_tui.protocol import MAX_BODY_BYTES, error_body

_M = TypeVar("_M", bound=BaseModel)

BODY_S = 30.0
"""Seconds that a body may take to come."""
MAX_PARTS = 40_000
"""Strings, commas and brackets that a body's JSON may have; more gets 413. A conversation has seven a message."""
_MAX_FAULTS = 50
"""Faults of a body that are looked at. The words for each are costly, and a few of them help as much as all."""
_LARGE = 128 * 1024
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)  # matches from every quote: one pass, whatever it is
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


class ApiError(Exception):
    """A call that is refused: HTTP ``status`` and the fields of OpenAI's error object.

    ``retry_after_s`` becomes the ``Retry-After`` header. ``position`` is the place in the queue that was refused;
    ``percent`` is of the load; ``params`` are the values of the sentence that ``code`` stands for.
    """

    def __init__(
        self,
        status: int,
        type_: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        position: int | None = None,
        percent: float | None = None,
        params: dict[str, str] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        self.status = status
        self.type = type_
        self.message = message
        self.code = code or type_
        self.param = param
        self.position = position
        self.percent = percent
        self.params = params
        self.retry_after_s = retry_after_s
        super().__init__(message)

    def body(self) -> bytes:
        """The error's JSON: a failed call's body, and the data of a failed stream's last event."""
        body = error_body(
            self.type,
            self.message,
            code=self.code,
            param=self.param,
            position=self.position,
            percent=self.percent,
            params=self.params,
        )
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def error_response(error: ApiError) -> Response:
    """The reply to a call that failed with ``error``."""
    headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return Response(error.body(), status_code=error.status, headers=headers, media_type="application/json")


async def error_handler(_request: Request, error: Exception) -> Response:
    """Starlette's exception handler for ``ApiError``: ``Starlette(exception_handlers={ApiError: error_handler})``."""
    if not isinstance(error, ApiError):
        raise error
    return error_response(error)


def invalid_body(error: ValidationError) -> ApiError:
    """400 that names the first field at fault in ``param`` and up to three of them in the message.

    The message holds field names and rules only, no values: a value may be patient text.
    """
    if error.error_count() > _MAX_FAULTS:
        return ApiError(
            400, "invalid_request_error", f"{error.error_count():,} faults in the body", code="too_many_faults"
        )
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    if problems[0]["type"] == "json_invalid":
        return ApiError(400, "invalid_request_error", "the body is not valid JSON", code="invalid_json")
    fields = [_field(item["loc"], own=item["type"] == "extra_forbidden") or "body" for item in problems[:3]]
    lines = [f"{name}: {_rule(item['type'], item['msg'])}" for name, item in zip(fields, problems, strict=False)]
    if len(problems) > 3:
        lines.append(f"and {len(problems) - 3} more")
    return ApiError(
        400,
        "invalid_request_error",
        "; ".join(lines),
        code=problems[0]["type"],
        param=None if fields[0] == "body" and not problems[0]["loc"] else fields[0],
    )


def _field(loc: tuple[int | str, ...], *, own: bool) -> str:
    """``messages.0.role`` without the names pydantic gives to a union's branches (``str``, ``list[str]``).

    ``own``: the last part is the client's own word, whatever it looks like.
    """
    return ".".join(
        str(part)
        for at, part in enumerate(loc, 1)
        if isinstance(part, int)
        or (own and at == len(loc))
        or not (part in ("str", "int", "float", "bool") or "[" in part or "(" in part)
    )


def _rule(kind: str, message: str) -> str:
    return "no such field" if kind == "extra_forbidden" else message.removeprefix("Value error, ")


async def read_body(request: Request, kind: type[_M], *, limit: int = MAX_BODY_BYTES) -> _M:
    """The request's body as a ``kind``.

    Raises ApiError: 413 past ``limit`` bytes (told by Content-Length, or met while reading, whichever comes
    first) or of more than ``MAX_PARTS`` parts, 408 where it takes longer than ``BODY_S`` to come, 400 where it is
    not JSON or not a valid ``kind``.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise ApiError(408, "timeout", "the body took too long to come", code="body_timeout") from None
    except ClientDisconnect:
        raise ApiError(400, "invalid_request_error", "the client left before its body was read") from None
    if len(body) < _LARGE:
        return _parsed(bytes(body), kind)
    async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):  # one at a time, others' turns between
        parsed = _parsed(bytes(body), kind)
        await asyncio.sleep(0)
        return parsed


def _parsed(body: bytes, kind: type[_M]) -> _M:
    if not _few_parts(body):
        raise ApiError(413, "too_large", f"the body's JSON has more than {MAX_PARTS:,} parts", code="too_many_parts")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise invalid_body(error) from None


def _few_parts(body: bytes) -> bool:
    """Whether there is little to make of it. A megabyte of text is quickly read, one of commas is not."""
    if body.count(b'"') + _separators(body, 0, len(body)) <= MAX_PARTS:
        return True
    parts = end = 0
    for string in _STRING.finditer(body):
        parts += 1 + _separators(body, end, string.start())
        end = string.end()
        if parts > MAX_PARTS:
            return False
    return parts + _separators(body, end, len(body)) <= MAX_PARTS


def _separators(body: bytes, start: int, end: int) -> int:
    return body.count(b",", start, end) + body.count(b"[", start, end) + body.count(b"{", start, end)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"the body is larger than {limit:,} bytes", code="body_too_large")


def prompt_too_long(count: int, limit: int, *, at_least: bool = False, param: str = "messages") -> ApiError:
    """413 for a prompt of ``count`` tokens, or of ``at_least`` so many, where ``limit`` fit the context window."""
    bound = "at least " if at_least else ""
    return ApiError(
        413,
        "too_large",
        f"the prompt is {bound}{count:,} tokens long and the context window takes {limit:,}",
        code="context_length_exceeded",
        param=param,
        params={"at_least" if at_least else "count": f"{count:,}", "limit": f"{limit:,}"},
    )


def queue_full(position: int, retry_after_s: int, *, mine: int | None = None) -> ApiError:
    """429: the request would have been at ``position`` of the queue. ``mine``: its user has so many in it already."""
    if mine is None:
        code, message = "queue_full", f"the queue is full: this question would be number {position}"
    else:
        code, message = "user_queue_full", f"{mine} questions of this user wait already"
    return ApiError(
        429,
        "queue_full",
        message,
        code=code,
        position=position,
        params=None if mine is None else {"count": str(mine)},
        retry_after_s=retry_after_s,
    )
