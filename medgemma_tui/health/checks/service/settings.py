"""``service.settings``: what the settings ask for is there, can be read, and does not contradict itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from medgemma_tui import i18n, instructions, site_start
from medgemma_tui.gateway import roles
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Item
from medgemma_tui.settings import Settings, SettingsError

_SOCKET_PATH_BYTES: Final = 107
"""That Linux takes, less what the worker's socket beside it needs (``gateway.listen``)."""
_BESIDE: Final = len(".d/worker.sock")
_PLACES: Final = (
    "model", "socket", "engine_socket", "instructions", "clinical_dir", "audit_dir", "audit_key", "health_dir",
    "golden_file",
)  # fmt: skip


def run(context: Context) -> Outcome:
    """Every problem is one line: those that stop the service or an answer make it invalid, others are doubts."""
    problems = list(_problems(context.settings))
    if problems:
        return invalid(problems)
    doubts = list(_doubts(context.settings))
    if doubts:
        return Outcome("doubtful", {"count": str(len(doubts))}, items=tuple(doubts))
    return Outcome("ok")


def invalid(problems: Sequence[str]) -> Outcome:
    """The outcome for settings with these problems, one plain line each: also of those that cannot be loaded at all."""
    items = tuple(Item(code="settings_problem", params={"problem": problem}) for problem in problems)
    return Outcome("invalid", {"count": str(len(problems))}, items=items)


def _problems(settings: Settings) -> Iterator[str]:
    yield from _relative(settings)
    try:
        roles.access(settings)
    except SettingsError as error:
        yield from error.problems
    yield from _unreadable(settings)
    yield from _words(settings)
    if settings.socket is not None and len(os.fsencode(settings.socket)) + _BESIDE > _SOCKET_PATH_BYTES:
        yield f"socket: {settings.socket} is too long: at most {_SOCKET_PATH_BYTES - _BESIDE} bytes"
    window = min(settings.context_window or 131_072, settings.max_model_len or 131_072)
    if settings.max_tokens >= window:
        yield f"max_tokens: {settings.max_tokens} leaves nothing of a window of {window} tokens for the question"


def _relative(settings: Settings) -> Iterator[str]:
    """A path that depends on where a program was started is another one for each of them."""
    for name in _PLACES:
        place: Path | None = getattr(settings, name)
        if place is not None and not place.is_absolute():
            yield f"{name}: {place} is not an absolute path"


def _unreadable(settings: Settings) -> Iterator[str]:
    """What the settings name and who runs this cannot read."""
    for name, place in (("instructions", settings.instructions), ("golden_file", settings.golden_file)):
        if place is not None and (reason := _why_not(place)):
            yield f"{name}: {place} cannot be read: {reason}"
    if settings.clinical_dir is not None:
        try:
            os.listdir(settings.clinical_dir)  # noqa: PTH208 - the error where it may not be looked into
        except OSError as error:
            yield f"clinical_dir: {settings.clinical_dir} cannot be read: {error.strerror}"


def _why_not(place: Path) -> str:
    try:
        with place.open("rb") as file:
            file.read(1)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _words(settings: Settings) -> Iterator[str]:
    """The site's lists and instructions, read as a front end reads them."""
    try:
        site_start.use_lists(settings)
        for language in i18n.LANGUAGES:
            instructions.load(settings, language)
    except SettingsError as error:
        if settings.instructions is None or error.source != str(settings.instructions):  # that was told above
            yield from (f"{error.source}: {problem}" for problem in error.problems)
    except OSError as error:
        yield f"{error.filename}: cannot be looked into: {error.strerror}"


def _doubts(settings: Settings) -> Iterator[Item]:
    """What works, and hardly as it was meant."""
    if settings.model is not None and settings.engine_socket is not None and not settings.demo:
        yield Item(code="settings_model_unused", params={"engine": str(settings.engine_socket)})
    if settings.session_max_bytes > settings.parked_total_bytes:
        yield _contradiction("session_max_bytes", "parked_total_bytes")
    if settings.queue_per_user > settings.queue_limit:
        yield _contradiction("queue_per_user", "queue_limit")
    if settings.thinking_budget is not None and settings.thinking_budget >= settings.max_tokens:
        yield _contradiction("thinking_budget", "max_tokens")


def _contradiction(larger: str, smaller: str) -> Item:
    return Item(code="settings_contradiction", params={"larger": larger, "smaller": smaller})


CHECK = Check("service.settings", run)
