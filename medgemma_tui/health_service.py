"""Which service ``health`` is about, and which model that one serves: it is the service's to say, not the settings'."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

from medgemma_tui import launch, state_dirs
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.health.store import Store, StoreError, directory_of
from medgemma_tui.protocol import ErrorInfo, HealthRecord, Served
from medgemma_tui.settings import SERVICE_SOCKET, Settings

GONE: Final = ("unreachable", "interrupted", "bad_reply")
"""Failures of a gateway that does not answer, or no longer."""
_ANSWER_S: Final = 10.0
_SERVED: Final = "served.json"


def by_us(socket: Path | None) -> bool:
    """Whether the gateway at ``socket`` is this user's own, or is not there at all."""
    if socket is None:
        return True
    try:
        return socket.stat().st_uid == os.getuid()
    except PermissionError:  # behind a directory that is closed to us
        return False
    except OSError:
        return True


def meant(settings: Settings) -> Settings:
    """The settings with the socket of the service that is meant, where one is: its reports lie by that.

    Where the service is installed and is not there at the moment, it is meant all the same: a demo that answers in its
    place would be taken for it.
    """
    socket = launch.service_socket(settings)
    if socket is None and not settings.demo and settings.model is None and state_dirs.SERVICE_STATE.is_dir():
        socket = SERVICE_SOCKET
    return settings if socket is None else settings.model_copy(update={"socket": socket})


def record(socket: Path) -> HealthRecord:
    """The service's last reports. Blocks. Raises ServiceError, also where a hung service says nothing."""

    async def told() -> HealthRecord:
        try:
            async with asyncio.timeout(_ANSWER_S), Client(socket, health=True) as client:
                return await client.health_record()
        except TimeoutError:
            raise ServiceError(0, ErrorInfo(type="interrupted", message="no answer in time", code="silent")) from None

    return asyncio.run(told())


def served(settings: Settings, socket: Path) -> Served | None:
    """What the service serves; as it was told last where it does not answer now. None where that is not known."""
    try:
        return remembered(settings, record(socket))
    except ServiceError:
        return remembered(settings, None)


def remembered(settings: Settings, told: HealthRecord | None) -> Served | None:
    """What is served, by ``told`` or as it was told last: a run on a service that is down is no run on the demo."""
    store = Store(directory_of(settings))
    known = store.get(_SERVED, Served)
    now = told.served if told is not None else None
    if now is not None and now != known:
        with contextlib.suppress(StoreError):
            store.put(_SERVED, now)
    return now or known


def as_served(settings: Settings, what: Served | None) -> Settings:
    """The settings with the model that the service serves, which may be told by its own command line alone."""
    if what is None:
        return settings
    model = Path(what.model) if what.model else None
    engine = Path(what.engine_socket) if what.engine_socket else None
    update = {"demo": what.demo, "model": model, "engine_socket": engine}
    return settings.model_copy(update={**update, "max_model_len": what.max_model_len, "slots": what.slots})
