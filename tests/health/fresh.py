"""A check run by another user, with nothing remembered of what our own user found out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from medgemma_tui.health.check import Check
from medgemma_tui.health.context import Context
from tests.health.looking import look


def as_another(uid: int, check: Check, surroundings: Callable[[], Context]) -> tuple[str, str]:
    """Code and status in a child process that has become that user."""
    look(check, surroundings())  # what is imported when it is first needed may lie where that user must not look
    fresh = surroundings()  # settings are read from our own home
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(writer, json.dumps(look(check, fresh).told).encode())
        except BaseException as error:
            os.write(writer, json.dumps([repr(error), ""]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        code, status = json.loads(said.read())
    os.waitpid(child, 0)
    return code, status
