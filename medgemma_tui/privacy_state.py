"""How screen, gateway and worker stand together, in one line: for the status bar and for plain mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medgemma_tui import privacy_words as words
from medgemma_tui.i18n import _
from medgemma_tui.protocol import PrivacyFacts, ProcessName, ProcessSeal


@dataclass(frozen=True, slots=True)
class State:
    """The line, the two or three words of it for 80 columns, and the one that must be readable everywhere."""

    level: Literal["ok", "warn", "bad", "unknown"]
    text: str
    short: str = ""
    shortest: str = ""
    about: str = ""
    """What is not shut, by its ids, whichever processes it is in."""


def state(facts: PrivacyFacts, own_seal: ProcessSeal | None, own_sockets: int | None, *, has_worker: bool) -> State:
    """From what each process measured of itself. ``own_*``: the screen's. ``ok`` only where all of them are known to
    be sealed and to hold no network socket; a worker that does not run has nothing to be measured.
    """
    sockets: dict[ProcessName, int | None] = {"screen": own_sockets, "gateway": facts.gateway_inet_sockets}
    seals: dict[ProcessName, ProcessSeal | None] = {"screen": own_seal, "gateway": facts.gateway}
    if has_worker:
        sockets["worker"], seals["worker"] = facts.worker_inet_sockets, facts.worker
    names = words.process_list(list(sockets))
    known = {name: seal for name, seal in seals.items() if seal is not None}
    total = sum(count for count in sockets.values() if count is not None)
    if total:
        text = _("{total} network sockets open ({names})").format(total=total, names=names)
        return State("bad", text, _("{total} sockets").format(total=total))
    for found in words.noted(known, "open")[:1]:
        text = _("not sealed · {where}: {reason}").format(where=found.where, reason=found.brief)
        return State("bad", text, _("not sealed"), about=found.about)
    if None in sockets.values() or None in seals.values():
        return State("unknown", _("unknown, not every process could be measured"))
    if facts.foreign_engine:
        text = _("sealed here · the engine is another program's, not ours to seal ({names})").format(names=names)
        return State("warn", text, _("other engine"))
    for found in words.noted(known, "warnings")[:1]:
        text = _("sealed, but {reason} ({where}) · 0 network sockets").format(reason=found.brief, where=found.where)
        return State("warn", text, _("sealed, see F3"), _("sealed"), found.about)
    text = _("sealed · local-only: 0 network sockets ({names})").format(names=names)
    return State("ok", text, _("local-only, sealed"), _("sealed"))
