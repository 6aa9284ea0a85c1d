"""Checks of the group ``model``, one file each, in the order of a report."""

from __future__ import annotations

from medgemma_tui.health.check import Check
from medgemma_tui.health.checks.model import decode, files, hashes, logits, speed

CHECKS: tuple[Check, ...] = (files.CHECK, hashes.CHECK, decode.CHECK, speed.CHECK)
AFTER_GOLDEN: tuple[Check, ...] = (logits.CHECK,)
"""Judges what all questions of the run were answered with, the golden ones, too."""
