"""Where things are on this box, for ``medgemma-tui locate``."""

from __future__ import annotations

import os
from pathlib import Path

from medgemma_tui import demo, i18n, instructions, launch, settings, site_lists
from medgemma_tui.audit import places as audit_places

PACKAGE = Path(__file__).parent


def styles_dir() -> Path:
    """The stylesheets: inside an installed package, or at the top of a checkout."""
    packaged = PACKAGE / "styles"
    return packaged if packaged.is_dir() else PACKAGE.parent / "styles"


def places(current: settings.Settings) -> list[tuple[str, str]]:
    """Name and place of each; one that is not there yet says so."""
    config = settings.config_file()
    there = os.path.exists(config)  # noqa: PTH110 - Path.exists raises where it may not look
    socket = launch.service_socket(current)
    return [
        ("config", str(config) if there else f"{config} (not there; defaults are used)"),
        ("model", _model(current)),
        ("socket", str(socket) if socket else f"{settings.run_dir()}/<pid>/gateway.sock (private)"),
        ("lists", _lists(current)),
        ("instructions", str(instructions.source(current, i18n.language()))),
        ("styles", str(styles_dir())),
        ("locales", str(PACKAGE / "locales")),
        ("corpus", str(PACKAGE / "demo" / "corpus")),
        *_audit(current, socket),
    ]


def _audit(current: settings.Settings, socket: Path | None) -> list[tuple[str, str]]:
    if socket is not None and current.audit_dir is None:
        return [("audit", "the service's; see medgemma-tui audit verify")]
    where = audit_places.of(current)
    lost = "" if where.lasting else " (no home directory: gone with the run directory)"
    return [("audit", f"{where.directory}{lost}"), ("audit key", str(where.key)), ("anchors", str(where.anchors))]


def _lists(current: settings.Settings) -> str:
    directory = site_lists.directory(current)
    if directory is None:
        return f"{site_lists.writable_directory(current)} (not there; the packaged lists alone are used)"
    there = os.path.isdir(directory)  # noqa: PTH112 - Path.is_dir raises where it may not look
    return str(directory) if there else f"{directory} (not there; the packaged lists alone are used)"


def _model(current: settings.Settings) -> str:
    if current.uses_engine:
        return f"whatever answers at {current.engine_socket} (engine_socket)"
    return f"{demo.model_dir()} (demo)" if current.uses_demo else str(current.model)
