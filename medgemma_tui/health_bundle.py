"""``medgemma-tui health --bundle FILE``: what a helper elsewhere needs, in one file, shown before it is written."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import secrets
import stat
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from medgemma_tui.exits import ExitCode
from medgemma_tui.health.bundle.contents import TOP, Contents, Member, collect
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.safetext import clean_line
from medgemma_tui.settings import Settings
from medgemma_tui.tui.wrap import cells, pad

_YES: Final = frozenset({"y", "yes", "j", "是", "好"})
_MODE: Final = 0o600


def make(settings: Settings, file: Path, *, yes: bool) -> ExitCode:
    """Collect, show the list, ask where a person is there, write. Returns USAGE where nobody can be asked and ``yes``
    was not given; FAILED where it cannot be written, and then nothing is left behind.
    """
    asked = sys.stdin.isatty() and sys.stderr.isatty()
    if not yes and not asked:
        _say(
            _("There is no terminal to ask on, so nothing was written. Give --yes to write the bundle without asking.")
        )
        return ExitCode.USAGE
    there = _there(file)
    if there is not None and not stat.S_ISREG(there.st_mode):
        _say(_("{path} is there and is no file. Name another.").format(path=file))
        return ExitCode.USAGE
    contents = collect(settings)
    packed = _packed(contents.members)
    for line in _listed(contents):
        print(clean_line(line), file=sys.stderr)
    if there is not None:
        _say(_("{path} is there already and will be replaced.").format(path=file))
    if not yes and not _agreed(file, len(packed)):
        _say(_("Nothing was written."))
        return ExitCode.FAILED
    try:
        _write(file, packed, replace=there is not None)
    except FileExistsError:
        _say(_("{path} has appeared meanwhile and was left as it is. Name another file.").format(path=file))
        return ExitCode.FAILED
    except OSError as error:
        reason = error.strerror or type(error).__name__
        _say(_("{path} cannot be written: {reason}. Nothing is left of it.").format(path=file, reason=reason))
        return ExitCode.FAILED
    print(clean_line(_("Written: {path} ({size})").format(path=file, size=_size(len(packed)))))
    if stat.S_IMODE(file.stat().st_mode) != _MODE:
        _say(_("The file system there knows no owners: whoever has it can read the bundle."))
    return ExitCode.OK


def _there(file: Path) -> os.stat_result | None:
    try:
        return file.lstat()
    except OSError:  # what else is wrong with the place is told when it is written to
        return None


def _listed(contents: Contents) -> list[str]:
    """Each file with its size and what it is, then what could not be had."""
    reports = [each for each in contents.members if each.name.startswith(f"{TOP}/reports/")]
    rows = [(each.name.removeprefix(f"{TOP}/"), len(each.data), _(each.about)) for each in contents.members]
    if len(reports) > 1:  # one line for all of them
        first, last = (each.name.rpartition("/")[2].removesuffix(".json") for each in (reports[0], reports[-1]))
        names = {each.name.removeprefix(f"{TOP}/") for each in reports}
        at = next(at for at, row in enumerate(rows) if row[0] in names)
        told = ngettext("{n} health report", "{n} health reports", len(reports)).format(n=len(reports))
        together = (f"reports/{first} … {last}", sum(len(each.data) for each in reports), told)
        rows = [*rows[:at], together, *(row for row in rows[at:] if row[0] not in names)]
    wide = max(cells(row[0]) for row in rows)
    lines = [_("This goes into the bundle:")]
    lines += [f"  {pad(name, wide)}  {_size(size):>9}  {about}" for name, size, about in rows]
    if contents.missing:
        lines.append(_("This could not be had:"))
        lines += [f"  {pad(name, wide)}  {reason}" for name, reason in contents.missing]
    return lines


def _agreed(file: Path, size: int) -> bool:
    """Whether the person at the terminal says yes. The question goes to stderr, with the list."""
    question = _("Write it to {path} ({size})? [y/N] ").format(path=file, size=_size(size))
    print(clean_line(question), end=" ", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in _YES


def _packed(members: Sequence[Member]) -> bytes:
    """The archive: nobody's name and id, and the time of now on each file."""
    now = int(time.time())
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=now) as packer,
        tarfile.open(fileobj=packer, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for member in members:
            entry = tarfile.TarInfo(member.name)
            entry.size, entry.mtime, entry.mode = len(member.data), now, 0o600
            archive.addfile(entry, io.BytesIO(member.data))
    return buffer.getvalue()


def _write(file: Path, data: bytes, *, replace: bool) -> None:
    """Beside its place first, and then under its name. Raises OSError; FileExistsError where another came first."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _MODE)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            fresh.replace(file)
        else:
            _name(fresh, file)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


def _name(fresh: Path, file: Path) -> None:
    """Give it its name, which nobody else must have. A stick's file system knows no second name for a file."""
    try:
        os.link(fresh, file)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        if _there(file) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        fresh.rename(file)


def _size(size: int) -> str:
    return f"{size:,} B" if size < 10_000 else f"{size / 1024:,.0f} KiB"


def _say(text: str) -> None:
    print(clean_line(f"medgemma-tui: {text}"), file=sys.stderr)
