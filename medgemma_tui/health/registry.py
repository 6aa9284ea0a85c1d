"""Every check there is, in the order of a report: one list for preflight, health, screen, timer and installer."""

from __future__ import annotations

from medgemma_tui.health.check import Check
from medgemma_tui.health.checks import audit, golden, gpu, history, host, model, privacy, service

CHECKS: tuple[Check, ...] = (
    *gpu.CHECKS,
    *host.CHECKS,
    *model.CHECKS,
    *service.CHECKS,
    *golden.CHECKS,
    *model.AFTER_GOLDEN,
    *privacy.CHECKS,
    *audit.CHECKS,
    *history.CHECKS,
)


def names() -> frozenset[str]:
    """The ids of checks and groups that can be selected."""
    return frozenset(check.id for check in CHECKS) | {check.group for check in CHECKS}
