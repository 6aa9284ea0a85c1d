"""``medgemma-tui health`` and ``preflight``: run the checks, show the report in one of its forms, exit by its verdict.

Exit codes are Nagios': 0 ok, 1 warning, 2 critical, 3 unknown; also 3 for a command line that is wrong and for an error
of our own, 130 and 143 where the run was stopped.
"""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from medgemma_tui import cli_options, crash, health_output, health_run, i18n
from medgemma_tui.exits import ExitCode
from medgemma_tui.health import registry
from medgemma_tui.health.run import Selection
from medgemma_tui.health_output import Form, Showing
from medgemma_tui.health_progress import Events, Progress
from medgemma_tui.i18n import _
from medgemma_tui.protocol import Phase
from medgemma_tui.settings import Settings, SettingsError

_UNKNOWN: Final = 3
_TERMINATED: Final = 128 + signal.SIGTERM
_LONGEST_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    phase: Phase
    demo: bool = False
    model: Path | None = None
    socket: Path | None = None
    lang: str | None = None
    form: Form = "text"
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    timeout_s: float | None = None
    verbose: bool = False
    full: bool = False
    last: bool = False
    output: Path | None = None
    textfile: Path | None = None
    new_baseline: bool = False
    bundle: Path | None = None
    yes: bool = False
    events: bool = False

    def showing(self, settings: Settings | None) -> Showing:
        """How the report is to be shown."""
        ascii_only = settings is not None and settings.profile == "ascii"
        return Showing(self.form, self.verbose, ascii_only, self.output, self.textfile)


class UsageError(Exception):
    """The command line is wrong. The text says how."""


def run(options: Options) -> int:
    """The whole command; the exit code. Does not return where a check's thread still hangs: the process ends here."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _run(options)
    except UsageError as error:
        cli_options.complain(str(error))
        code = _UNKNOWN
    except health_run.LeftRunning as left:
        health_run.remark(_("The service's run goes on without you. See its report later: medgemma-tui health --last"))
        code = left.code
    except KeyboardInterrupt:
        health_run.remark(_("Stopped by you. Nothing of this run was kept."))
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:  # the gateway that the events were for
        code = _UNKNOWN
    except SystemExit:
        health_run.remark(_("Stopped from outside. Nothing of this run was kept."))
        code = _TERMINATED
    except Exception as error:
        health_run.remark(_("The checks could not be run, because of an error in the program:"))
        print(crash.report(error), file=sys.stderr)
        code = _UNKNOWN
    if _hanging():
        _leave(code)
    return code


def _run(options: Options) -> int:
    try:
        if not options.events:  # the gateway names its socket and the model that it serves
            cli_options.one_service(options.demo, options.model, options.socket)
        settings = cli_options.load_settings(options.demo, options.model, options.socket, options.lang)
    except SettingsError as error:
        i18n.set_language("zh" if options.lang == "zh" else i18n.language_from_environment())
        if error.source == "command line" or all(each.startswith("command line:") for each in error.problems):
            raise UsageError("; ".join(error.problems)) from None
        return health_output.deliver(health_run.without_settings(options.phase, error), options.showing(None))
    selection = _selection(options)
    if options.bundle is not None:
        from medgemma_tui import health_bundle

        return health_bundle.make(settings, options.bundle, yes=options.yes)
    if options.last and (selection.partial or options.full or options.new_baseline):
        raise UsageError(_("--last runs nothing: --only, --skip, --full and --new-baseline do not go with it."))
    if options.last:
        return health_output.deliver(health_run.last(settings), options.showing(settings))
    wanted = health_run.Wanted(options.phase, selection, options.full, options.new_baseline, options.events)
    checks = [each for each in registry.CHECKS if options.phase in each.phases and selection.wants(each)]
    progress = Events(checks) if options.events else Progress(checks)
    try:
        view = health_run.get(settings, wanted, progress)
    finally:
        progress.clear()
    return view.exit_code if options.events else health_output.deliver(view, options.showing(settings))


def _selection(options: Options) -> Selection:
    """The checks that the options choose. Raises UsageError for a name that is not one, or where nothing is left."""
    only, skip = _names("--only", options.only), _names("--skip", options.skip)
    timeout = options.timeout_s
    if timeout is not None and not (math.isfinite(timeout) and 0 < timeout <= _LONGEST_S):
        raise UsageError(_("--timeout takes seconds, more than 0 and at most a day."))
    selection = Selection(only, skip, timeout)
    if not any(options.phase in check.phases and selection.wants(check) for check in registry.CHECKS):
        raise UsageError(_("With these options no check of {phase} is left to run.").format(phase=options.phase))
    return selection


def _names(option: str, given: Sequence[str]) -> frozenset[str]:
    known = registry.names()
    names = frozenset(name.strip() for each in given for name in each.split(",") if name.strip())
    if given and not names:
        raise UsageError(_("{option} names no check.").format(option=option))
    for name in sorted(names - known):
        near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
        listed = _(", ").join(near or sorted({check.group for check in registry.CHECKS}))
        form = _("{option} {name}: there is no such check. Near: {names}.") if near else _(
            "{option} {name}: there is no such check. Groups: {names}."
        )  # fmt: skip
        raise UsageError(form.format(option=option, name=name, names=listed))
    return names


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(_TERMINATED)


def _hanging() -> bool:
    """Whether a check has not returned. Python would wait at its end for the threads that such a check has."""
    ids = {check.id for check in registry.CHECKS}
    return any(thread.name in ids for thread in threading.enumerate())


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
