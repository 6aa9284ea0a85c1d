"""What must be settled before Textual is imported: its environment variables. Imports nothing of Textual."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

from medgemma_tui.settings import Settings


def prepare(settings: Settings, environ: MutableMapping[str, str] = os.environ) -> None:
    """Set Textual's frame cap, switch its animations off, and drop every other ``TEXTUAL_`` variable.

    Some of those would import a module, write a log or a picture of the screen (patient text on disk), or open a
    port for developer tools. Textual reads them when it is imported, so call this first.
    """
    for name in [name for name in environ if name.startswith("TEXTUAL")]:
        del environ[name]
    environ["TEXTUAL_FPS"] = str(settings.fps)
    environ["TEXTUAL_ANIMATIONS"] = "none"
    environ["TEXTUAL_SMOOTH_SCROLL"] = "0"


def wants_plain(environ: Mapping[str, str] = os.environ) -> bool:
    """True where the environment asks for plain lines instead of a screen: ACCESSIBLE=1 or TERM=dumb."""
    return environ.get("ACCESSIBLE", "") not in ("", "0") or environ.get("TERM") == "dumb"
