"""The outermost layer of both servers: an unexpected error is told by its kind and place, never by its text."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medgemma_tui import crash
from medgemma_tui.http_errors import ApiError, error_response


def answers(who: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Starlette's handler of ``Exception``: our JSON in place of its plain text."""

    async def answer(_request: Request, _error: Exception) -> Response:
        return error_response(_failure(who))

    return answer


def _failure(who: str) -> ApiError:
    return ApiError(500, "internal_error", f"{who} failed; its log names the place")


class Quiet:
    """An ASGI application around another. Its text, and uvicorn's traceback with it, could quote what a person asked.

    ``who`` is told to the client to have failed: ``the gateway``, ``the model process``; ``log`` gets the stack.
    """

    def __init__(self, app: ASGIApp, who: str, log: logging.Logger) -> None:
        self._app = app
        self._who = who
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started = ended = False

        async def watched(message: Message) -> None:
            nonlocal started, ended
            started = started or message["type"] == "http.response.start"
            ended = ended or (message["type"] == "http.response.body" and not message.get("more_body", False))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            self._log.error("a request failed: %s", crash.line(error))
            failure = _failure(self._who)
            if ended:  # by Starlette, which raises the error again when it has answered
                return
            if started:
                await send({"type": "http.response.body", "body": b"data: %b\n\n" % failure.body(), "more_body": False})
            else:
                await error_response(failure)(scope, receive, send)
