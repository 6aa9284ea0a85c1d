"""The GPU panel: what the cards and the host do now, from the gateway's telemetry."""

from __future__ import annotations

from medgemma_tui.protocol import Telemetry
from medgemma_tui.tui.ink import Line, Panel
from medgemma_tui.tui.profile import Profile


class GpuPanel(Panel):
    """Load, memory, heat, power, clocks and why a card is slowed; queue and host. ``compact``: one line."""

    def __init__(self, profile: Profile, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._profile = profile
        self._telemetry: Telemetry | None = None
        self._reason = ""
        self._compact = False

    @property
    def compact(self) -> bool:
        """One line, for narrow screens."""
        return self._compact

    @compact.setter
    def compact(self, compact: bool) -> None:
        if compact != self._compact:
            self._compact = compact
            self.redraw()

    def show(self, telemetry: Telemetry | None, reason: str = "") -> None:
        """Show this sample; None says that there are no figures, and ``reason`` why, in the language in use."""
        self._telemetry, self._reason = telemetry, reason
        self.redraw()

    def compose_lines(self, width: int) -> list[Line]:
        """The panel for this width."""
        return []
