"""Checks of the box itself: memory, swap, disks, limits, versions, clock."""

from __future__ import annotations

from medgemma_tui.health.check import Check
from medgemma_tui.health.checks.host import clock, disk, files, inodes, memory, packages, swap, system

CHECKS: tuple[Check, ...] = (
    memory.CHECK,
    swap.CHECK,
    disk.CHECK,
    inodes.CHECK,
    files.CHECK,
    system.CHECK,
    packages.CHECK,
    clock.CHECK,
)
