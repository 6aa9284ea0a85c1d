"""What a measurement was made with: it compares only with one made with the same."""

from __future__ import annotations

import contextlib
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from medgemma_tui import __version__, model_manifest
from medgemma_tui.health.context import Context

CPU = "cpu"
"""What a worker calls its device where that is no GPU; a GPU it calls by name (``NVIDIA L4``)."""
_LIBRARIES = ("torch", "transformers", "bitsandbytes")


class Identity(BaseModel):
    """A model by its id and its weights' fingerprint, the device that it runs on, and the versions of the programs.

    Not its window: where none is set it is what free memory leaves at the start, and so another one every day.
    """

    model_config = ConfigDict(frozen=True)
    model: str = ""
    weights: str = ""
    device: str = ""
    versions: dict[str, str] = {}
    on_card: bool = False
    """True where the model runs on a GPU."""

    def same_box(self, other: Identity) -> bool:
        """Whether both are of one model on one device, whatever the versions."""
        return (self.model, self.weights, self.device) == (other.model, other.weights, other.device)


def of(context: Context) -> Identity:
    """Of the model that answers now. Raises ServiceError."""
    card = context.health().model
    device = "" if card is None else f"{card.device or ''} {card.quantization or ''}"
    weights = ""
    if not context.settings.uses_engine:
        with contextlib.suppress(OSError):
            weights = model_manifest.fingerprint(context.model_directory)
    versions = {"medgemma-tui": __version__}
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    sample = context.telemetry()
    if sample.driver_version:
        versions["driver"] = sample.driver_version
    on_card = card is not None and card.device not in (None, "", CPU)
    return Identity(
        model="" if card is None else card.id,
        weights=weights,
        device=(device if on_card else f"{device} {_processor()}").strip(),
        versions=versions,
        on_card=on_card,
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return ""
