"""The instructions sent to the model before the conversation: a site's own file, or the built-in one by language."""

from __future__ import annotations

from importlib import resources

from medgemma_tui.i18n import Language
from medgemma_tui.settings import Settings, SettingsError


def load(settings: Settings, language: Language) -> str:
    """The instruction text, stripped.

    Raises SettingsError when the site's file cannot be read as UTF-8 text.
    """
    if settings.instructions is not None:
        try:
            return settings.instructions.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(str(settings.instructions), [f"instructions: {error}"]) from None
    data = resources.files("medgemma_tui.clinical") / "data" / f"instructions.{language}.txt"
    return data.read_text(encoding="utf-8").strip()
