"""One check run against something, and what came of it in words."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medgemma_tui.health import run, wording
from medgemma_tui.health.check import Check
from medgemma_tui.health.context import Context
from medgemma_tui.health.store import Store
from medgemma_tui.protocol import CheckResult, Phase
from medgemma_tui.settings import Settings


@dataclass(frozen=True)
class Seen:
    """A check's result and its words."""

    result: CheckResult
    text: str
    advice: str
    lines: tuple[str, ...]

    @property
    def told(self) -> tuple[str, str]:
        return self.result.code, self.result.status

    def figure(self, name: str) -> float:
        (value,) = [figure.value for figure in self.result.figures if figure.name == name]
        return value


def context(place: Path, at: Path | None = None, phase: Phase = "health", **settings: object) -> Context:
    """Surroundings with these settings; reports are in ``place``, and the gateway
    answers ``at`` a socket."""
    given = {name: value for name, value in settings.items() if value is not None}
    return Context(Settings(**given), Store(place / "health"), phase=phase, socket=at)


def look(check: Check, surroundings: Context) -> Seen:
    """The check as the runner runs it, but on this thread. Every outcome that is not well has advice."""
    result = run._run_one(check, surroundings, check.timeout_s)
    seen = Seen(
        result, wording.text(result), wording.advice(result),
        tuple(line for item in result.items for line in wording.item_lines(item)),
    )  # fmt: skip
    assert "?" not in seen.text.replace("? hours", ""), seen.text
    if result.status not in ("ok", "skipped"):
        assert seen.advice, result.code
    return seen


def as_user(uid: int, check: Check, surroundings: Context) -> tuple[str, str]:
    """Code and status for another user, with what our own user found out remembered."""
    return as_another(uid, check, lambda: surroundings)


def as_another(uid: int, check: Check, surroundings: Callable[[], Context]) -> tuple[str, str]:
    """Code and status for another user, with nothing remembered of what our own user found out: in a child process
    that has become that user."""
    look(check, surroundings())  # what is read when it is first needed may lie where that user must not look
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
