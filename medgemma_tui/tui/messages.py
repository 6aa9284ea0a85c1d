"""What the background work tells the app. Only the app's handlers change state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from medgemma_tui.protocol import (
    ChatChunk,
    ErrorInfo,
    Health,
    HealthProgress,
    HealthRecord,
    ModelCard,
    ProcessSeal,
    SessionReply,
    Telemetry,
    TokenizeReply,
)

if TYPE_CHECKING:
    from medgemma_tui.tui.reading import Reading


class Connected(Message):
    """The gateway's telemetry stream is up."""


class Disconnected(Message):
    """The gateway does not answer. ``exit_code`` is set where nothing more is tried: what the screen will end with."""

    def __init__(self, error: ErrorInfo, *, exit_code: int | None = None) -> None:
        self.error = error
        self.exit_code = exit_code
        super().__init__()


class HealthArrived(Message):
    """The service's state. ``model`` is the model that answers, where there is one."""

    def __init__(self, health: Health, model: ModelCard | None) -> None:
        self.health = health
        self.model = model
        super().__init__()


class TelemetryArrived(Message):
    """One sample. ``own_sockets``: network sockets this process holds, None where it cannot be read; ``own_seal``: what
    it can prove of itself, None before that was tried.
    """

    def __init__(self, telemetry: Telemetry, own_sockets: int | None, own_seal: ProcessSeal | None = None) -> None:
        self.telemetry = telemetry
        self.own_sockets = own_sockets
        self.own_seal = own_seal
        super().__init__()


class ReplyArrived(Message):
    """The next chunks of a turn's reply, in order."""

    def __init__(self, turn_id: int, chunks: list[ChatChunk]) -> None:
        self.turn_id = turn_id
        self.chunks = chunks
        super().__init__()


class ReplyEnded(Message):
    """A turn's reply is over; ``error`` is set where it failed."""

    def __init__(self, turn_id: int, error: ErrorInfo | None = None) -> None:
        self.turn_id = turn_id
        self.error = error
        super().__init__()


class AnswerArrived(Message):
    """The whole answer to request ``ticket``, which is no part of the conversation; ``error`` where none came."""

    def __init__(self, ticket: int, text: str, error: ErrorInfo | None = None) -> None:
        self.ticket = ticket
        self.text = text
        self.error = error
        super().__init__()


class Counted(Message):
    """The tokenizer's answer to count number ``ticket``; ``error`` instead where it could not count."""

    def __init__(self, ticket: int, reply: TokenizeReply | None, error: ErrorInfo | None = None) -> None:
        self.ticket = ticket
        self.reply = reply
        self.error = error
        super().__init__()


class TextRead(Message):
    """What was found in the text of request ``ticket``. ``problem``: which list cannot be used, where one cannot."""

    def __init__(self, ticket: int, reading: Reading | None, problem: str = "") -> None:
        self.ticket = ticket
        self.reading = reading
        self.problem = problem
        super().__init__()


class Forgotten(Message):
    """The service dropped what it kept of this user's conversations; ``error`` where it could not say so."""

    def __init__(self, error: ErrorInfo | None = None) -> None:
        self.error = error
        super().__init__()


class Parked(Message):
    """A conversation is kept by the service; ``error`` where it is not."""

    def __init__(self, id: str, error: ErrorInfo | None = None) -> None:
        self.parcel = id
        self.error = error
        super().__init__()


class KeptLooked(Message):
    """What the service keeps for this user; None: nothing."""

    def __init__(self, found: SessionReply | None) -> None:
        self.found = found
        super().__init__()


class Dropped(Message):
    """A kept conversation was dropped. ``gone``: it was there, and the service confirmed it."""

    def __init__(self, id: str, *, gone: bool) -> None:
        self.parcel = id
        self.gone = gone
        super().__init__()


class RecordCame(Message):
    """What the service has of its health runs; ``error`` instead where it gave none."""

    def __init__(self, record: HealthRecord | None, error: ErrorInfo | None = None) -> None:
        self.record = record
        self.error = error
        super().__init__()


class RunWent(Message):
    """A health run went on."""

    def __init__(self, progress: HealthProgress) -> None:
        self.progress = progress
        super().__init__()


class RunEnded(Message):
    """A health run is over; ``error`` where it was refused or has no report."""

    def __init__(self, error: ErrorInfo | None = None) -> None:
        self.error = error
        super().__init__()


class PinTried(Message):
    """Whether it was the PIN."""

    def __init__(self, *, right: bool) -> None:
        self.right = right
        super().__init__()


class Resumed(Message):
    """The program was stopped, and goes on."""


class TerminalTakes(Message):
    """A terminal that took nothing for a while takes again; what was written meanwhile is lost."""


class TerminalGone(Message):
    """Nobody can read or write there any more."""


class Broken(Message):
    """A background task ended with an error of the program's own."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__()
