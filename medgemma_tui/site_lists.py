"""Where the site's own lists are: terms, abbreviations, drugs and whatever else extends the packaged ones."""

from __future__ import annotations

import os
from pathlib import Path

from medgemma_tui.settings import Settings

SITE_DIRECTORY = Path("/etc/medgemma/clinical")


def directory(settings: Settings) -> Path | None:
    """The directory to read the site's lists from, None where there is none.

    ``clinical_dir`` of the settings, else /etc/medgemma/clinical, else the user's data directory. Front ends call
    ``tables.use_site_directory(site_lists.directory(settings))`` when they start. A directory that is named in the
    settings is given back even if it is not there, since it may come.
    """
    if settings.clinical_dir is not None:
        return settings.clinical_dir
    return next((place for place in (SITE_DIRECTORY, user_directory()) if place.is_dir()), None)


def writable_directory(settings: Settings) -> Path:
    """The directory that an import stores in, by the same order: the site's only for who may write there.

    It need not exist yet.
    """
    if settings.clinical_dir is not None:
        return settings.clinical_dir
    if SITE_DIRECTORY.is_dir():
        return SITE_DIRECTORY  # where it is, it is what is read: storing elsewhere would store for nobody
    return user_directory()


def user_directory() -> Path:
    """``$XDG_DATA_HOME/medgemma/clinical``."""
    home = os.environ.get("XDG_DATA_HOME", "")
    if not (home and Path(home).is_absolute()):
        home = os.path.expanduser("~/.local/share")  # noqa: PTH111 - Path's raises for a user without a home
    base = Path(home) if Path(home).is_absolute() else Path("/nonexistent")
    return base / "medgemma" / "clinical"
