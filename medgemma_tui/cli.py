"""The command line: one thin function a command. Exit codes are in ``exits.py``; stdout belongs to the answer."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medgemma_tui import cli_audit, cli_health
from medgemma_tui.cli_options import Demo, Lang, Model, Socket, complain, load_settings, one_service
from medgemma_tui.exits import ExitCode

if TYPE_CHECKING:
    from medgemma_tui.settings import Settings

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)


def run() -> int:
    """Run the command named in ``sys.argv``; returns the exit code.

    A settings error is told in plain lines, an output that cannot be written in one.
    """
    from medgemma_tui import crash
    from medgemma_tui.privacy.seal import seal

    crash.install()
    seal("command")

    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # bytes in another encoding are shown as such, and no crash
    try:
        code = _command()
        sys.stdout.flush()
        return code
    except OSError as error:
        _drop_output()
        if not isinstance(error, BrokenPipeError):  # who hung up does not want to hear why
            place = f"{error.filename}: " if error.filename else ""
            complain(f"{place}{error.strerror or type(error).__name__}")
        return ExitCode.FAILED
    except Exception as error:  # not left to sys.excepthook: typer puts its own there
        print(crash.report(error), file=sys.stderr)
        return ExitCode.FAILED


def _command() -> int:
    from medgemma_tui.settings import SettingsError

    try:
        result = app(prog_name="medgemma-tui", standalone_mode=False)
        return int(result) if isinstance(result, int) else ExitCode.OK
    except SettingsError as error:
        for problem in error.problems:
            complain(f"{error.source}: {problem}")
        return ExitCode.USAGE
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        from medgemma_tui.clinical.tables import TableError

        if isinstance(error, TableError):  # a list changed after it was looked at
            complain(str(error))
            return ExitCode.USAGE
        if not hasattr(error, "format_message"):
            raise
        _complain_of_usage(error)
        return cli_health.usage_code(error) or int(getattr(error, "exit_code", ExitCode.USAGE))


def _complain_of_usage(error: Exception) -> None:
    """What click says of a command line, made safe; but for words too many, which may be half a question."""
    from medgemma_tui.safetext import clean

    buffer = io.StringIO()
    error.show(buffer)  # type: ignore[attr-defined]
    told, words, _more = buffer.getvalue().partition("Got unexpected extra argument")
    if words:
        told += "There are words too many: put a text of several words in quotes."
    print(clean(told).rstrip(), file=sys.stderr)


def _drop_output() -> None:
    """What stdout still holds cannot be written: let it go, or Python tries again at exit and says so in its way."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _use_site_lists(settings: Settings) -> None:
    """Read the site's lists from now on. Raises SettingsError where one of them cannot be used."""
    from medgemma_tui import site_start

    site_start.use_lists(settings)


def _collect_seldom() -> None:
    """For commands that read the lists and are soon done: nearly all that they make stays, so that looking for garbage
    as often as Python does is a tenth of their time.
    """
    import gc

    gc.set_threshold(50_000)


def _hand_down(context: typer.Context, name: str) -> None:
    """Options before a command's name are that command's; one it does not have is an error, never ignored.

    Raises BadParameter.
    """
    given = {option: value for option, value in context.params.items() if value}
    command = typer.main.get_command(app).get_command(context, name)  # type: ignore[attr-defined]
    known = {parameter.name for parameter in command.params}
    for option in given:
        if option not in known:
            raise typer.BadParameter(f"--{option} is no option of {name}", ctx=context)
    context.default_map = {name: given}


def _show_version(asked: bool) -> None:
    if asked:
        from medgemma_tui import __version__

        print(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def screen(
    context: typer.Context,
    demo: Demo = False,
    model: Model = None,
    socket: Socket = None,
    lang: Lang = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Append-only lines, for screen readers and simple terminals.")
    ] = False,
    profile: Annotated[str | None, typer.Option(metavar="auto|color|console16|ascii", help="Console profile.")] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> int:
    """The screen: ask the model on this box a clinical question and watch it think."""
    if context.invoked_subcommand is not None:
        _hand_down(context, context.invoked_subcommand)
        return ExitCode.OK
    one_service(demo, model, socket)
    settings = load_settings(demo, model, socket, lang, profile=profile)
    _use_site_lists(settings)
    from medgemma_tui.tui import environment

    if plain or environment.wants_plain():
        from medgemma_tui import plain as plain_mode

        return plain_mode.run(settings)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("medgemma-tui: no terminal here; use --plain, or `medgemma-tui ask`", file=sys.stderr)
        return ExitCode.USAGE
    environment.prepare(settings)
    from medgemma_tui.tui.start import run as run_screen

    return run_screen(settings)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question, or - to read it from standard input.")],
    demo: Demo = False,
    model: Model = None,
    socket: Socket = None,
    lang: Lang = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    thinking: Annotated[str | None, typer.Option(metavar="auto|force|skip", help="Ask for a trace or not.")] = None,
    thinking_budget: Annotated[int | None, typer.Option(metavar="N", help="Tokens of trace at most.")] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="N", help="Tokens of the reply at most.")] = None,
    temperature: Annotated[float | None, typer.Option(metavar="T", help="0 is greedy.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of a sampled reply.")] = None,
    sections: Annotated[
        str | None, typer.Option(metavar="auto|always|off", help="Answer in four parts: definition to recommendation.")
    ] = None,
    identifiers: Annotated[
        str | None, typer.Option(metavar="warn|mask|block", help="What to do with what tells who the patient is.")
    ] = None,
) -> int:
    """Ask one question: the answer on stdout, the reasoning on stderr, or both as JSON."""
    one_service(demo, model, socket)
    settings = load_settings(
        demo, model, socket, lang, thinking=thinking, thinking_budget=thinking_budget, max_tokens=max_tokens,
        temperature=temperature, sections=sections, identifiers=identifiers,
    )  # fmt: skip
    _use_site_lists(settings)
    from medgemma_tui import ask as ask_mode

    text = sys.stdin.read() if question == "-" else question
    return ask_mode.run(settings, text, as_json=as_json, seed=seed)


@app.command()
def analyze(
    text: Annotated[
        str, typer.Argument(help="The text, or - for one text a line on standard input.", show_default=False)
    ] = "-",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a text.")] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Read {question, reasoning, answer} as JSON, and mark the reply.")
    ] = False,
    lang: Lang = None,
) -> int:
    """What the clinical layer finds in a text: entities, terms, what a question lacks, identifiers. No model."""
    _collect_seldom()
    settings = load_settings(False, None, None, lang)
    _use_site_lists(settings)
    from medgemma_tui import analyze as analyze_mode

    return analyze_mode.run(text, as_json=as_json, trace=trace)


terms_app = typer.Typer(no_args_is_help=True)
app.add_typer(terms_app, name="terms")


@terms_app.callback()
def terms_group(context: typer.Context, lang: Lang = None) -> None:
    """Standard terms: look one up, or import the site's own table."""
    if lang and context.invoked_subcommand:
        context.default_map = {context.invoked_subcommand: {"lang": lang}}


@terms_app.command("lookup")
def terms_lookup(
    text: Annotated[str, typer.Argument(help="The text, or - to read it from standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    lang: Lang = None,
) -> int:
    """The standard terms in a text, with their ICD-11 and ICD-10 codes."""
    _collect_seldom()
    _use_site_lists(load_settings(False, None, None, lang))
    from medgemma_tui import terms

    return terms.lookup(sys.stdin.read() if text == "-" else text, as_json=as_json)


@terms_app.command("import")
def terms_import(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A tab-separated table, or SNOMED CT descriptions (RF2).")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the table; an older one is replaced.")
    ] = None,
    lang: Lang = None,
) -> int:
    """Check a site's own table of terms and store it on this box."""
    settings = load_settings(False, None, None, lang)
    from medgemma_tui import terms

    return terms.import_file(settings, file, name)


@app.command()
def serve(
    demo: Demo = False,
    model: Model = None,
    socket: Socket = None,
    max_model_len: Annotated[int | None, typer.Option(metavar="N", help="Context window in tokens.")] = None,
    slots: Annotated[int | None, typer.Option(metavar="N", help="Conversations stepped together.")] = None,
    private: Annotated[bool, typer.Option("--private", hidden=True)] = False,
) -> int:
    """The gateway and its worker, in the foreground: under systemd, or by hand."""
    settings = load_settings(demo, model, socket, None, max_model_len=max_model_len, slots=slots)
    from medgemma_tui.gateway import serve as gateway
    from medgemma_tui.settings import run_dir

    return gateway.run(settings, socket=settings.socket or run_dir() / "gateway.sock", private=private)


@app.command()
def privacy(
    demo: Demo = False,
    model: Model = None,
    socket: Socket = None,
    lang: Lang = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Try to get out of each process, print what the kernel said, and exit with 0 only if everything is shut."""
    one_service(demo, model, socket)
    settings = load_settings(demo, model, socket, lang)
    from medgemma_tui import privacy_command

    return privacy_command.run(settings, as_json=as_json)


app.add_typer(cli_audit.app, name="audit")
cli_health.register(app)


@app.command()
def locate(lang: Lang = None) -> int:
    """Where settings, model, socket, styles, catalogues and the audit log are."""
    settings = load_settings(False, None, None, lang)
    from medgemma_tui import locate as locations
    from medgemma_tui.safetext import clean_line

    for name, place in locations.places(settings):
        print(f"{name:<12} {clean_line(place)}")
    return ExitCode.OK
