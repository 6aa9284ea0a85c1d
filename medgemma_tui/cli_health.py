"""The commands ``health`` and ``preflight``. A wrong command line ends them with 3: 2 would read as critical."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer

from medgemma_tui.cli_options import Demo, Lang, Model, Socket

COMMANDS: Final = ("health", "preflight")
_UNKNOWN: Final = 3
"""For whoever reads the exit code as Nagios does."""


class Form(Enum):
    """What the report looks like."""

    text = "text"
    json = "json"
    nagios = "nagios"
    prometheus = "prometheus"


Format = Annotated[Form, typer.Option("--format", help="What the report looks like.", show_default=True)]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="ID", help="Only these checks or groups; a,b or several times.")
]
Skip = Annotated[
    list[str] | None, typer.Option("--skip", metavar="ID", help="Without these checks or groups; a,b or several times.")
]
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="S", help="Seconds for each check at most.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show every check, not failures alone.")]
Full = Annotated[bool, typer.Option("--full", help="Hash every byte of the model, whatever was hashed before.")]
# Whether a file can be written is said by who writes it.
Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", writable=False, help="Write to FILE, whole or not at all.")
]
Textfile = Annotated[
    Path | None,
    typer.Option("--textfile", metavar="FILE", writable=False, help="Write the Prometheus form to FILE, in addition."),
]


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command()(health)
    app.command()(preflight)


def usage_code(error: Exception) -> int | None:
    """The exit code of a wrong command line, None where it was not one of these commands'."""
    context = getattr(error, "ctx", None)
    names = {getattr(context, "info_name", None), getattr(context, "invoked_subcommand", None)}
    if context is None:  # an option without its value
        names = {next((word for word in sys.argv[1:] if not word.startswith("-")), None)}
    return _UNKNOWN if names & set(COMMANDS) else None


def _guarded(command: Callable[[], int]) -> int:
    """The command's exit code; UNKNOWN where it fails before it can say so itself: 1 would read as a warning."""
    from medgemma_tui import crash

    try:
        return command()
    except Exception as error:
        print(crash.report(error), file=sys.stderr)
        return _UNKNOWN


def health(
    demo: Demo = False,
    model: Model = None,
    socket: Socket = None,
    lang: Lang = None,
    form: Format = Form.text,
    only: Only = None,
    skip: Skip = None,
    timeout: Timeout = None,
    verbose: Verbose = False,
    full: Full = False,
    last: Annotated[bool, typer.Option("--last", help="Show the last report; run nothing.")] = False,
    output: Output = None,
    textfile: Textfile = None,
    new_baseline: Annotated[
        bool, typer.Option("--new-baseline", help="Take this run's speed as what later runs are compared with.")
    ] = False,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="FILE", writable=False, help="Write a support bundle to FILE.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write the bundle without asking.")] = False,
    events: Annotated[bool, typer.Option("--events", hidden=True)] = False,
) -> int:
    """Is this box fit for clinic? Exit code 0: fit; 1: with a warning; 2: NOT FIT; 3: not known, or a wrong option."""

    def command() -> int:
        from medgemma_tui import health_command

        options = health_command.Options(
            phase="health", demo=demo, model=model, socket=socket, lang=lang, form=form.value, only=tuple(only or ()),
            skip=tuple(skip or ()), timeout_s=timeout, verbose=verbose, full=full, last=last, output=output,
            textfile=textfile, new_baseline=new_baseline, bundle=bundle, yes=yes, events=events,
        )  # fmt: skip
        return health_command.run(options)

    return _guarded(command)


def preflight(
    demo: Demo = False,
    model: Model = None,
    socket: Socket = None,
    lang: Lang = None,
    form: Format = Form.text,
    only: Only = None,
    skip: Skip = None,
    timeout: Timeout = None,
    verbose: Verbose = False,
    full: Full = False,
    output: Output = None,
    textfile: Textfile = None,
) -> int:
    """What can be checked before a model is there: the same checks, less those of a running service. Starts nothing."""

    def command() -> int:
        from medgemma_tui import health_command

        options = health_command.Options(
            phase="preflight", demo=demo, model=model, socket=socket, lang=lang, form=form.value,
            only=tuple(only or ()), skip=tuple(skip or ()), timeout_s=timeout, verbose=verbose, full=full,
            output=output, textfile=textfile,
        )  # fmt: skip
        return health_command.run(options)

    return _guarded(command)
