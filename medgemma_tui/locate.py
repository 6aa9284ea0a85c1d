"""Where things are on this box, for ``medgemma-tui locate``."""

from __future__ import annotations

from pathlib import Path

from medgemma_tui import demo, launch, settings

PACKAGE = Path(__file__).parent


def styles_dir() -> Path:
    """The stylesheets: inside an installed package, or at the top of a checkout."""
    packaged = PACKAGE / "styles"
    return packaged if packaged.is_dir() else PACKAGE.parent / "styles"


def places(current: settings.Settings) -> list[tuple[str, str]]:
    """Name and place of each; one that is not there yet says so."""
    config = settings.config_file()
    socket = launch.service_socket(current)
    return [
        ("config", str(config) if config.exists() else f"{config} (not there; defaults are used)"),
        ("model", str(current.model) if current.model and not current.demo else f"{demo.model_dir()} (demo)"),
        ("socket", str(socket) if socket else f"{settings.run_dir()}/<pid>/gateway.sock (private)"),
        ("styles", str(styles_dir())),
        ("locales", str(PACKAGE / "locales")),
        ("corpus", str(PACKAGE / "demo" / "corpus")),
    ]
