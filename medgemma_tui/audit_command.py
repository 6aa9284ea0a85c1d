"""``medgemma-tui audit verify`` and ``audit show``: what the log is worth, and what is in it.

Where no place is named and a service is there, the service is asked: its log and key are not for an auditor's own eyes.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, Protocol, get_args

from medgemma_tui import audit_words as words
from medgemma_tui import launch, problems
from medgemma_tui.audit import places, reading
from medgemma_tui.audit.places import Places
from medgemma_tui.audit.record import Event, Record
from medgemma_tui.audit.show import CsvWriter, Filter, Selection, counters_text, json_line, moment
from medgemma_tui.audit.verify import verify as check
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.protocol import AuditVerdict
from medgemma_tui.safetext import clean_line, escape_json
from medgemma_tui.settings import Settings
from medgemma_tui.tui.wrap import cells, pad, truncate

Format = Literal["table", "csv", "json"]
_WIDTHS: Final = (9, 19, 18, 13, 12, 8)


def verify(settings: Settings, named: Places | None, *, as_json: bool) -> int:
    """Check the log and print the verdict. Returns the exit code: OK only where it is whole."""
    socket = None if named else launch.service_socket(settings)
    try:
        verdict = asyncio.run(_service_verdict(socket)) if socket else None
    except ServiceError as error:
        if not _may_look_ourselves(error, settings):
            return _failed(error)
        verdict = None
    if verdict is None:
        where = named or places.of(settings)
        verdict = check(where.directory, where.key, where.anchors)
    if as_json:
        _utf8()
        print(escape_json(verdict.model_dump_json()))
    else:
        for line in words.verdict(verdict):
            print(clean_line(line))
    return ExitCode.OK if verdict.whole else ExitCode.FAILED


def show(settings: Settings, named: Places | None, wanted: Filter, output: Format) -> int:
    """Print the records that are wanted. Returns the exit code: FAILED where a line is no record."""
    socket = None if named else launch.service_socket(settings)
    selection = Selection(wanted)
    if output != "table":
        _utf8()
    writer = _writer(output)
    try:
        asked = socket is not None and asyncio.run(_service_records(socket, selection, writer.write))
    except ServiceError as error:
        if not _may_look_ourselves(error, settings):
            return _failed(error)
        asked = False
    if not asked:
        directory = (named or places.of(settings)).directory
        try:
            for record in selection.of(reading.raw(directory)):
                writer.write(record)
        except (FileNotFoundError, NotADirectoryError):
            _say(_("There is no audit log in {path}.").format(path=directory))
            return ExitCode.FAILED
        except PermissionError:
            _say(
                _("{path} is not for you to read. Ask as a member of the auditors' group, or as its owner.").format(
                    path=directory
                )
            )
            return ExitCode.FAILED
    if selection.unreadable:
        _say(
            ngettext(
                "{count} line is no record; see medgemma-tui audit verify.",
                "{count} lines are no records; see medgemma-tui audit verify.",
                selection.unreadable,
            ).format(count=f"{selection.unreadable:,}")
        )
        return ExitCode.FAILED
    return ExitCode.OK


def wanted(
    since: str | None, until: str | None, who: str | None, events: list[str], outcome: str | None, session: str | None
) -> Filter | str:
    """The filter for these options, or a sentence that says which of them cannot be meant."""
    unknown = [each for each in events if each not in get_args(Event)]
    if unknown:
        return _("--event: {name} is none of {names}").format(name=unknown[0], names=", ".join(get_args(Event)))
    moments = []
    for option, text in (("--since", since), ("--until", until)):
        try:
            moments.append(moment(text, end=option == "--until") if text else None)
        except (ValueError, OverflowError):
            return _("{option} takes a date, or a date with a time: 2026-11-24, 2026-11-24T06:30").format(option=option)
    return Filter(moments[0], moments[1], who or "", frozenset(events), outcome or "", session or "")


def named(directory: Path | None, key: Path | None, anchors: Path | None, settings: Settings) -> Places | None:
    """The places that were named on the command line; None where none was."""
    if directory is not None:
        return places.beside(directory, key, anchors)
    if key is None and anchors is None:
        return None
    own = places.of(settings)
    return Places(own.directory, key or own.key, anchors or own.anchors)


# --- asking the service ---


async def _service_verdict(socket: Path) -> AuditVerdict:
    async with Client(socket) as client:
        return await client.audit_verdict()


async def _service_records(socket: Path, selection: Selection, write: Callable[[Record], None]) -> bool:
    async with Client(socket) as client:
        async for line in client.audit_lines():
            record = selection.take(line)
            if record is not None:
                write(record)
    return True


def _may_look_ourselves(error: ServiceError, settings: Settings) -> bool:
    """A service that is down can tell nothing of its log. Where the settings say where that is, it can be read without;
    where they do not, the log that would be found is another one.
    """
    if error.info.type != "unreachable" or settings.audit_dir is None:
        return False
    _say(_("The service does not answer; the log is read where the settings say it is."))
    return True


def _failed(error: ServiceError) -> int:
    _say(problems.sentence(error.info))
    return problems.exit_code(error.info)


# --- writing ---


class _Writer(Protocol):
    def write(self, record: Record) -> None: ...


def _writer(output: Format) -> _Writer:
    if output == "csv":
        return CsvWriter(sys.stdout)
    return _Json() if output == "json" else _Table()


class _Json:
    def write(self, record: Record) -> None:
        print(json_line(record))


class _Table:
    """One line a record; on a terminal no longer than it is wide."""

    def __init__(self) -> None:
        self._width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        self._headed = False

    def write(self, record: Record) -> None:
        if not self._headed:
            self._headed = True
            self._line((_("number"), _("time"), _("who"), _("event"), _("outcome"), _("session")), _("counters"))
        who = f"{record.login} ({record.uid})" if record.login else str(record.uid)
        when = record.instant.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        first = (str(record.seq), when, who, record.event, record.outcome, record.session[:8])
        self._line(first, counters_text(record))

    def _line(self, columns: tuple[str, ...], rest: str) -> None:
        padded = [_pad(clean_line(text), width) for text, width in zip(columns, _WIDTHS, strict=True)]
        line = " ".join([*padded, clean_line(rest)]).rstrip()
        print(truncate(line, self._width) if self._width else line)


def _pad(text: str, width: int) -> str:
    """A text that is too long is left so: two people must not look like one."""
    return pad(text, width) if cells(text) <= width else text


def _utf8() -> None:
    """JSON and CSV are UTF-8 in every locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def _say(text: str) -> None:
    print(clean_line(f"medgemma-tui: {text}"), file=sys.stderr)
