"""The program's language: gettext catalogues, chosen by ``--lang``, settings or LANG, switchable while running.

Message ids are English. ``_`` looks the text up when it is called, so a widget that renders again after
``set_language`` speaks the new language.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from medgemma_tui.asciitext import to_ascii

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_DOMAIN = "medgemma_tui"
_LOCALES = Path(__file__).parent / "locales"
_FOLDER: Mapping[Language, str] = {"zh": "zh_CN", "en": "en"}

_current: Language = "en"
_ascii = False
_catalogue: gettext.NullTranslations = gettext.NullTranslations()


def set_language(language: Language) -> None:
    """Speak this language from now on."""
    global _current, _catalogue
    _catalogue = gettext.translation(_DOMAIN, _LOCALES, languages=[_FOLDER[language]], fallback=True)
    _current = language


def set_ascii(ascii_only: bool) -> None:
    """Whether the program's own words keep to ASCII signs from now on; Chinese stays Chinese."""
    global _ascii
    _ascii = ascii_only


def own(text: str) -> str:
    """Words of the program's own as this terminal can show them."""
    if not _ascii or text.isascii():
        return text
    if _current == "en":
        text = text.replace("中文", "Chinese")
    return to_ascii(text).replace("·", "-")


def language() -> Language:
    """The language in use."""
    return _current


def language_from_environment(environ: Mapping[str, str] = os.environ) -> Language:
    """The language that LC_ALL, LC_MESSAGES or LANG ask for; English where they ask for neither.

    The Linux console has no Chinese glyphs, so English is chosen there unless ``--lang zh`` says otherwise.
    """
    if environ.get("TERM") == "linux":
        return "en"
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = environ.get(name, "")
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def _(message: str) -> str:
    """The message in the language in use."""
    return own(_catalogue.gettext(message)) if message else ""


def ngettext(singular: str, plural: str, n: int) -> str:
    """The message for ``n`` things in the language in use."""
    return own(_catalogue.ngettext(singular, plural, n))


def N_(message: str) -> str:
    """Mark a message for the catalogues; it is translated later, where it is shown."""
    return message
