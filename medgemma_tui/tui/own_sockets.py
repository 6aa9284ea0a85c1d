"""What this process holds open towards a network: nothing, and here it is counted."""

from __future__ import annotations

from medgemma_tui.privacy.open_sockets import own_inet_sockets


def own_network_sockets() -> int | None:
    """Sockets this process holds open that are not Unix sockets. None where /proc cannot be read."""
    return own_inet_sockets()
