"""The instructions sent to the model before the conversation: a site's own file, or the built-in one by language.

The file that ``instructions`` of the settings names counts for both languages. Else ``instructions.zh.txt`` and
``instructions.en.txt`` in the site's directory of lists replace the built-in ones, each for its language.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable

from medgemma_tui import site_lists
from medgemma_tui.i18n import Language
from medgemma_tui.settings import Settings, SettingsError


def load(settings: Settings, language: Language) -> str:
    """The instruction text, stripped.

    Raises SettingsError when the site's file cannot be read as UTF-8 text.
    """
    path = source(settings, language)
    try:
        return path.read_text(encoding="utf-8").removeprefix("\ufeff").strip()  # editors elsewhere begin with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), [f"instructions: {error}"]) from None


def source(settings: Settings, language: Language) -> Traversable:
    """The file that the instructions of this language are read from.

    Raises SettingsError when the site's directory cannot be looked into.
    """
    if settings.instructions is not None:
        return settings.instructions
    name = f"instructions.{language}.txt"
    directory = site_lists.directory(settings)
    try:
        if directory is not None and (directory / name).is_file():
            return directory / name
    except OSError as error:
        raise SettingsError(str(directory), [f"instructions: {error.strerror}"]) from None
    return resources.files("medgemma_tui.clinical") / "data" / name
