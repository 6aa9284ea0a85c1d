"""What a process of ours forbids itself at its start, by the kernel's means and for good."""

from __future__ import annotations

from dataclasses import dataclass, replace
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

    def layer(self, name: LayerName) -> Layer:
        """One of the layers."""
        return next(layer for layer in self.layers if layer.name == name)

    def summary(self) -> str:
        """One line for the log: each layer, and why one does not hold."""
        return ", ".join(layer.name if layer.holds else f"{layer.name}: {layer.reason}" for layer in self.layers)


_current: Seal | None = None


def current() -> Seal | None:
    """The seal of this process, None where it was never closed."""
    return _current


def seal(role: Role) -> Seal:
    """Close this process: to be called before it has threads. Never raises: what cannot be had is in the result.

    Only the worker gets a network namespace of its own; a gateway or screen keeps the one that it was given (a user
    namespace would hide from a gateway who its peers are). Called again in the same process, it changes the role's
    name: what is closed stays so.
    """
    global _current
    if _current is not None and role != "worker":
        _current = replace(_current, role=role)
        return _current
    from medgemma_tui.privacy import devices

    devices.make_ready()
    # In this order: an undumpable process can no longer give its user namespace the ids.
    layers = (
        _core_limit(),
        _network_namespace(role),
        _no_new_privs(),
        _seccomp(role),
        _dumpable(),
    )
    _current = Seal(role, layers)
    return _current


def _core_limit() -> Layer:
    from medgemma_tui.process_limits import no_core_dumps

    try:
        no_core_dumps()
    except (OSError, ValueError) as error:
        return Layer("core_limit", False, type(error).__name__)
    return Layer("core_limit", True)


def _network_namespace(role: Role) -> Layer:
    from medgemma_tui.privacy import namespace

    if role != "worker":
        empty = namespace.is_empty()
        return Layer("network_namespace", empty, "" if empty else "not_wanted")
    try:
        reason = namespace.enter_empty()
    except OSError as error:  # no process more, no memory for one
        reason = type(error).__name__
    return Layer("network_namespace", not reason, reason)


def _no_new_privs() -> Layer:
    from medgemma_tui.privacy import control

    try:
        control.set_no_new_privs()
    except OSError:
        return Layer("no_new_privs", False, "not_supported")
    return Layer("no_new_privs", True)


def _seccomp(role: Role) -> Layer:
    from medgemma_tui.privacy import system_calls

    try:
        system_calls.load("worker" if role == "worker" else "outer")
    except system_calls.NoLibseccomp:
        return Layer("seccomp", False, "no_libseccomp")
    except OSError:
        return Layer("seccomp", False, "not_supported")
    return Layer("seccomp", True)


def _dumpable() -> Layer:
    from medgemma_tui.privacy import control

    try:
        control.set_undumpable()
    except OSError:
        return Layer("dumpable", False, "not_supported")
    return Layer("dumpable", True)
