"""Starting the screen: which gateway, which console, and the exit code at the end."""

from __future__ import annotations

import os

from medgemma_tui import crash, launch, problems
from medgemma_tui.privacy import native_output
from medgemma_tui.privacy.seal import seal
from medgemma_tui.settings import Settings, SettingsError
from medgemma_tui.tui import keymap, profile
from medgemma_tui.tui.commands import Screen
from medgemma_tui.tui.service import ExistingGateway, Gateway


def run(settings: Settings) -> int:
    """Run the screen until the person leaves; returns the exit code.

    Raises SettingsError for a key override that names no command, or instructions that cannot be read.
    """
    unknown = keymap.unknown_ids(settings.keymap)
    if unknown:
        raise SettingsError("keymap", [f"keymap.{name}: no such command" for name in unknown])
    seal("screen")
    existing = launch.service_socket(settings)
    gateway: Gateway = ExistingGateway(existing) if existing is not None else launch.PrivateGateway(settings)
    try:
        with native_output.withheld(), crash.held():  # the screen is drawn on a copy of stderr
            app = Screen(settings, gateway, profile.choose(settings.profile, os.environ, settings.theme))
            app.run()
    finally:
        gateway.stop()
    return app.return_code or app.final_code or problems.health_exit_code(app.state.health)
