"""gpu.capability: what the card can compute, against what PyTorch and the 4-bit weights need."""

from __future__ import annotations

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu import cuda
from medgemma_tui.health.checks.gpu.cards import answering, figure, graded, named, nothing_to_judge, worst
from medgemma_tui.health.checks.gpu.used import used
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import GpuSample
from medgemma_tui.vram import UPCASTS_BELOW

ID = "gpu.capability"
_FULL = ".".join(map(str, UPCASTS_BELOW))


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    if not answering(context):
        return nothing_to_judge(context)
    if context.settings.uses_engine:
        return Outcome("another_engine")
    torch = cuda.installed()
    needs = cuda.needs_of(torch.cuda) if torch is not None and torch.cuda is not None else None
    return worst(ID, [_judged(context, card, needs) for card in used(context)])


def _judged(context: Context, card: GpuSample, needs: cuda.CudaNeeds | None) -> Outcome:
    if card.compute_capability is None:
        return Outcome("not_told", named(card))
    capability = cuda.number_of(card.compute_capability)
    params = named(card, capability=card.compute_capability, full=_FULL)
    figures = figure(card, "gpu_compute_capability", float(card.compute_capability))
    if needs is not None and capability < cuda.number_of(needs.capability):
        params |= {"needed": needs.capability, "cuda": needs.series}
        return Outcome(graded(context, "unsupported"), params, figures)
    return Outcome("slow" if capability < UPCASTS_BELOW else "ok", params, figures)


CHECK = Check(ID, run)
