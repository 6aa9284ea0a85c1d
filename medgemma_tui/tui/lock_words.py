"""What is said while the screen is locked, and when the session ends in that way."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Literal

from medgemma_tui.clinical_words import sentences
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.protocol import ErrorInfo

Stage = Literal["pin", "curtain", "nothing", "answer", "handing", "parked", "held"]
"""How the locked conversation is held. ``pin``: here, behind the PIN. ``curtain``: here, and Enter opens. ``nothing``:
there is none. ``answer``: handed to the service when the answer is there. ``handing``: on its way. ``parked``: in the
service, and not here any more. ``held``: here, since the service cannot keep it."""


def since(at: datetime) -> str:
    """Since when it is locked."""
    return _("Locked since {time}").format(time=f"{at:%H:%M}")


def how(stage: Stage, trouble: ErrorInfo | None = None) -> str:
    """How one goes on, a line a sentence."""
    none = _("No PIN is set.")
    lines = {
        "pin": (_("Type your PIN and press Enter."),),
        "curtain": (none, _("Enter opens it again: whoever sits here has this account's shell in any case.")),
        "nothing": (none, _("There is no conversation. Enter ends this session; log in again to go on.")),
        "answer": (
            none,
            _("An answer is being written. Then the service keeps the conversation, until you log in again."),
        ),
        "handing": (none, _("The conversation is being handed to the service …")),
        "parked": (
            _("The service keeps the conversation, in its memory; here it was wiped."),
            _("Log in again to take it back. Enter ends this session."),
        ),
        "held": (none, _held(trouble), _("It stays here, locked; nobody can open it."), _again(trouble)),
    }
    return "\n".join(line for line in lines[stage] if line)


def _held(trouble: ErrorInfo | None) -> str:
    reasons = {
        "too_large": _("The conversation is too large for the service to keep."),
        "unreachable": _("The service does not answer, so it cannot keep the conversation."),
        "interrupted": _("The service does not answer, so it cannot keep the conversation."),
        "timeout": _("The service does not answer, so it cannot keep the conversation."),
        "another_is_kept": _("The service keeps another conversation of yours already, and only one."),
    }
    return reasons.get(trouble.type if trouble is not None else "", _("The service cannot keep the conversation."))


def _again(trouble: ErrorInfo | None) -> str:
    final = trouble is not None and trouble.type == "too_large"
    return "" if final else _("The service is asked again every few seconds.")


def until(stage: Stage, at: datetime) -> str:
    """What happens if nobody comes."""
    time = f"{at:%H:%M}"
    if stage == "nothing":
        return _("At {time} this session ends by itself.").format(time=time)
    if stage == "parked":
        return _("If nobody takes it back it is wiped at {time}.").format(time=time)
    return _("If it is still locked at {time}, everything is wiped and this session ends.").format(time=time)


def wrong(tries_left: int, wait_s: float) -> str:
    """After a wrong PIN."""
    left = ngettext("Wrong PIN. {n} more try.", "Wrong PIN. {n} more tries.", tries_left).format(n=tries_left)
    seconds = math.ceil(wait_s)
    if not seconds:
        return left
    wait = ngettext("The next can be typed in {n} second.", "The next can be typed in {n} seconds.", seconds)
    return sentences(left, wait.format(n=seconds))


def without_a_pin(*, stays: bool) -> str:
    """What locking without a PIN means. ``stays``: the service lives on when this screen ends."""
    if stays:
        meaning = _("The service then keeps the conversation, and you take it back by logging in again.")
    else:
        meaning = _("Enter then opens it again, for whoever sits here.")
    return "\n".join((_("Enter alone locks without a PIN."), meaning))


# --- the one line on the terminal at the end ---


def kept(at: datetime) -> str:
    """The service has it, unless it was taken back meanwhile: nobody looks again, since a look is a record."""
    return _(
        "The conversation is kept by the service until {time}, or until you log in again and take it back."
    ).format(time=f"{at:%H:%M}")


def wiped() -> str:
    """Its time was over."""
    return sentences(
        _("The screen was locked for too long: this session has ended."),
        _("Nothing of its conversation is left, here or in the service."),
    )


def ended_empty() -> str:
    """There was none, or it was taken back elsewhere."""
    return _("The screen was locked and this session has ended. Nothing of it is left here.")


def failed(at: datetime | None) -> str:
    """Too many wrong PINs. ``at``: until when the service keeps it; None: it was wiped."""
    wrongs = _("Too many wrong PINs: this session has ended.")
    return sentences(wrongs, kept(at) if at is not None else _("The conversation was wiped."))
