"""The commands ``audit verify`` and ``audit show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medgemma_tui.cli_options import Lang, Socket, complain, load_settings
from medgemma_tui.exits import ExitCode

app = typer.Typer(no_args_is_help=True)

LogDir = Annotated[
    Path | None, typer.Option("--dir", metavar="DIR", readable=False, help="Directory of the log; else the service's.")
]


@app.callback()
def audit_group(context: typer.Context, lang: Lang = None, socket: Socket = None) -> None:
    """The audit log: check it, or show what is in it."""
    given = {"lang": lang, "socket": socket}
    if context.invoked_subcommand:
        context.default_map = {context.invoked_subcommand: {name: value for name, value in given.items() if value}}


@app.command("verify")
def audit_verify(
    directory: LogDir = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", readable=False, help="The key; else audit.key beside DIR.")
    ] = None,
    anchors: Annotated[
        Path | None,
        typer.Option("--anchors", metavar="FILE", readable=False, help="The anchors; else those beside DIR."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    socket: Socket = None,
    lang: Lang = None,
) -> int:
    """Check every record of the log; exit with 0 only if none is altered, missing or out of order."""
    settings = load_settings(False, None, socket, lang)
    from medgemma_tui import audit_command

    places = audit_command.named(directory, key, anchors, settings)
    return audit_command.verify(settings, places, as_json=as_json)


@app.command("show")
def audit_show(
    directory: LogDir = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="From this date, or date and time, on.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Up to the end of this date, or before this time.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="LOGIN|UID", help="Of this user.")] = None,
    event: Annotated[
        list[str] | None, typer.Option(metavar="EVENT", help="Of this kind; may be given several times.")
    ] = None,
    outcome: Annotated[str | None, typer.Option(metavar="WORD", help="With this outcome.")] = None,
    session: Annotated[str | None, typer.Option(metavar="NAME", help="Of this conversation.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a first line of names.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a record.")] = False,
    socket: Socket = None,
    lang: Lang = None,
) -> int:
    """Show the records that the options choose, oldest first."""
    settings = load_settings(False, None, socket, lang)
    from medgemma_tui import audit_command

    wanted = audit_command.wanted(since, until, user, event or [], outcome, session)
    if isinstance(wanted, str) or (as_csv and as_json):
        complain(wanted if isinstance(wanted, str) else "--csv and --json exclude each other")
        return ExitCode.USAGE
    places = audit_command.named(directory, None, None, settings)
    return audit_command.show(settings, places, wanted, "csv" if as_csv else "json" if as_json else "table")
