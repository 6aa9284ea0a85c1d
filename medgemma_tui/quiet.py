"""The outermost layer of both servers: an unexpected error is told by its kind and place, never by its text."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medgemma_tui import crash
from medgemma_tui.http_errors import ApiError, error_response


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
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            self._log.error("a request failed: %s", crash.line(error))
            failure = ApiError(500, "internal_error", f"{self._who} failed; its log names the place")
            if started:
                await send({"type": "http.response.body", "body": b"data: %b\n\n" % failure.body(), "more_body": False})
            else:
                await error_response(failure)(scope, receive, send)
