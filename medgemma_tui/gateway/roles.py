"""What a peer may do: roles by Unix group, and how the socket's file lets their members reach the gateway."""

from __future__ import annotations

import grp
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from medgemma_tui.settings import Settings, SettingsError

_NO_GID = 2**32 - 1


class Role(StrEnum):
    """A role. The value is the first part of its setting: ``users`` has ``users_group``."""

    USERS = "users"
    OPS = "ops"
    AUDITORS = "auditors"


EVERY_ROLE = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Group:
    """A Unix group: its number decides, its name is for people."""

    gid: int
    name: str


@dataclass(frozen=True, slots=True)
class Policy:
    """Who has which role: the gateway's own user and root have all, others those of the groups they are members of."""

    uid: int
    groups: Mapping[Role, Group] = field(default_factory=dict)

    def roles(self, uid: int, gids: frozenset[int]) -> frozenset[Role]:
        """The roles of a process with this uid and these groups, its own among them; empty: an outsider."""
        if self.owns(uid):
            return EVERY_ROLE
        return frozenset(role for role, group in self.groups.items() if group.gid in gids)

    def owns(self, uid: int) -> bool:
        """True for the gateway's own user and root."""
        return uid in (0, self.uid)

    def group_names(self, roles: frozenset[Role]) -> str:
        """The groups whose members have one of these roles, for a sentence; empty where none is configured."""
        return ", ".join(self.groups[role].name for role in Role if role in roles and role in self.groups)


@dataclass(frozen=True, slots=True)
class Access:
    """What the settings say of who may connect: the mode of the socket's file, and the groups."""

    mode: int
    groups: Mapping[Role, Group]

    def policy(self, uid: int, socket_group: int) -> Policy:
        """The policy of a gateway that runs as ``uid``; ``socket_group`` is the group of the socket's file.

        Its members are users where no group is configured and the file lets them in.
        """
        if self.groups or self.mode != 0o660:
            return Policy(uid, self.groups)
        return Policy(uid, {Role.USERS: Group(socket_group, _group_name(socket_group))})


PRIVATE = Access(0o600, {})
"""For the gateway's own user and root only."""


def access(settings: Settings) -> Access:
    """What the settings say. Raises SettingsError: an unknown group, or a mode that contradicts the groups."""
    named = {
        Role.USERS: settings.users_group,
        Role.OPS: settings.ops_group,
        Role.AUDITORS: settings.auditors_group,
    }
    groups = {role: _group(f"{role}_group", name) for role, name in named.items() if name}
    mode = settings.socket_mode or ("0666" if groups else "0600")
    if mode == "0600" and groups:
        raise _problem("socket_mode: 0600 lets no group connect; leave it out, or set 0666")
    if mode == "0666" and not groups:
        raise _problem("socket_mode: 0666 needs users_group, ops_group or auditors_group: nobody else gets an answer")
    return Access(int(mode, 8), groups)


def _group(setting: str, name: str) -> Group:
    """The group of a setting: a name, or a number that the system need not know."""
    try:
        return Group(grp.getgrnam(name).gr_gid, name)
    except (KeyError, ValueError):  # ValueError: a null byte
        pass
    if name.isascii() and name.isdigit() and int(name) < _NO_GID:
        return Group(int(name), _group_name(int(name)))
    raise _problem(f"{setting}: this system has no group {name!r}; make it with groupadd, or give its number")


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _problem(text: str) -> SettingsError:
    return SettingsError("settings", [text])
