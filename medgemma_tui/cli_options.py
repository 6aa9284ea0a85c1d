"""Options that several commands have, and what each does with them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medgemma_tui.settings import Settings

Demo = Annotated[bool, typer.Option("--demo", help="Use the embedded demo model. DEMO, NOT MEDICAL.")]
# Whether a place can be used is said by those who use it, in their words and with their exit codes: not by typer.
Model = Annotated[Path | None, typer.Option("--model", metavar="DIR", readable=False, help="Directory of the model.")]
Socket = Annotated[Path | None, typer.Option("--socket", metavar="PATH", readable=False, help="Socket of the gateway.")]
Lang = Annotated[str | None, typer.Option("--lang", metavar="zh|en", help="Language of the screen and of messages.")]


def load_settings(demo: bool, model: Path | None, socket: Path | None, lang: str | None, **more: object) -> Settings:
    """Settings with these flags on top; the language is set for every message from here on. Raises SettingsError."""
    from medgemma_tui import i18n, settings

    if demo and model is not None:
        raise settings.SettingsError("command line", ["--demo and --model exclude each other"])
    loaded = settings.load(
        demo=demo or None,
        model=model.absolute() if model is not None else None,
        socket=socket.absolute() if socket is not None else None,
        lang=lang,
        **more,
    )
    i18n.set_language(loaded.lang or i18n.language_from_environment())
    return loaded


def one_service(demo: bool, model: Path | None, socket: Path | None) -> None:
    """Raises SettingsError where a service and a model are both asked for: a service has its own model."""
    from medgemma_tui.settings import SettingsError

    if socket is not None and (demo or model is not None):
        other = "--demo" if demo else "--model"
        raise SettingsError("command line", [f"--socket and {other} exclude each other: the service has its own model"])


def complain(problem: str) -> None:
    """One line on stderr. It may hold names from files, the environment and the command line."""
    from medgemma_tui.safetext import clean_line

    with contextlib.suppress(OSError):
        print(clean_line(f"medgemma-tui: {problem}"), file=sys.stderr)
