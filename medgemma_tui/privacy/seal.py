"""What a process of ours forbids itself at its start, by the kernel's means and for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["screen", "gateway", "worker", "command"]
LayerName = Literal["seccomp", "no_new_privs", "network_namespace", "dumpable", "core_limit"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One means. ``reason`` says why it does not hold: ``no_libseccomp``, ``not_permitted``, ``not_wanted`` …"""

    name: LayerName
    holds: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Seal:
    """What was closed in this process."""

    role: Role
    layers: tuple[Layer, ...]


def seal(role: Role) -> Seal:
    """Close this process: to be called before it has threads. Never raises: what cannot be had is in the result."""
    raise NotImplementedError
