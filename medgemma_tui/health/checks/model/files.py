"""The model directory can be loaded, as far as its headers tell: every file there, whole, and of one model."""

from __future__ import annotations

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.model_dir import ModelDirError
from medgemma_tui.protocol import Figure


def run(context: Context) -> Outcome:
    """Each of ``ModelDirError``'s codes is an outcome."""
    if context.settings.uses_engine:
        return Outcome("foreign_engine")
    try:
        model = context.model()
    except ModelDirError as error:
        return Outcome(error.code, error.params)
    return Outcome(
        "ok",
        {"files": str(len(model.files)), "parameters": f"{model.parameters:,}"},
        (
            Figure(name="weight_bytes", value=model.weight_bytes, unit="B"),
            Figure(name="parameters", value=model.parameters),
        ),
    )


CHECK = Check("model.files", run, timeout_s=30.0)
