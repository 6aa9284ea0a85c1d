"""The keys, as data: one row a command. Bindings, the key bar, the help and the palette are all made from it.

Every function key has a twin that needs none and that PuTTY, xterm and the Linux console can all send; twins keep
clear of the composer's editing keys and of what a terminal or the tty takes for itself (^C ^H ^I ^J ^M ^Q ^S ^Z ^[).
Sites remap by id: ``keymap = {"trace.toggle" = "f2,ctrl+t"}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

from medgemma_tui.i18n import N_, _

Place = Literal["screen", "transcript"]


@dataclass(frozen=True, slots=True)
class Command:
    """One thing a person can do. ``keys``: the first is shown first, its twin after it. Texts are message ids.

    ``bar`` is the rank in the key bar (0: not shown there); where there is little room the lowest ranks stay.
    """

    id: str
    action: str
    keys: str
    label: str
    help: str
    place: Place = "screen"
    bar: int = 0


COMMANDS: tuple[Command, ...] = (
    Command("help", "help", "f1,ctrl+g", N_("Help"), N_("Keys and words of the place you are in"), bar=1),
    Command(
        "trace.toggle", "toggle_trace", "f2,ctrl+t", N_("Reasoning"),
        N_("Show or hide the reasoning of every answer"), bar=2,
    ),
    Command(
        "health", "health", "f3,ctrl+o", N_("Health"),
        N_("Whether this box is fit: the last report, every check, a new run"), bar=4,
    ),
    Command("system", "system", "", N_("System"), N_("GPU, host, service, model and privacy, in full")),
    Command(
        "card", "card", "f4,ctrl+f", N_("Patient"),
        N_("Facts that go with every question of this patient"), bar=5,
    ),
    Command(
        "patient.new", "new_patient", "f5,ctrl+n", N_("New patient"),
        N_("Wipe conversation, card and draft, here and in the service"), bar=6,
    ),
    Command(
        "lock", "lock", "f6,ctrl+@,ctrl+2", N_("Lock"),
        N_("Cover the screen until you type your PIN or log in again"), bar=6,
    ),
    Command(
        "memory", "memory", "", N_("GPU memory"),
        N_("Where memory is short: who holds the card, what would fit, how to take it"),
    ),
    Command("pin", "set_pin", "", N_("Set PIN"), N_("The PIN that opens the locked screen, for this session")),
    Command(
        "thinking", "thinking", "f7,ctrl+b", N_("Ask for reasoning"),
        N_("Automatic, always, or never (less safe)"),
    ),
    Command(
        "template", "template", "f11,ctrl+underscore", N_("Template"),
        N_("A question of this kind with blanks to fill in; again: the next blank"), bar=11,
    ),
    Command(
        "trim", "trim", "ctrl+circumflex_accent", N_("Trim"),
        N_("Take out of the question what tells nothing about the illness"),
    ),
    Command(
        "sections", "sections", "ctrl+x", N_("Four parts"),
        N_("Definition, mechanism, differential, recommendation: where they suit, always, or never"), "transcript",
    ),
    Command(
        "window", "window", "ctrl+w", N_("Context window"),
        N_("2,048, 4,096 … tokens, up to the model's own window"), "transcript",
    ),
    Command(
        "prompt", "prompt", "ctrl+e", N_("Prompt"),
        N_("What the model was given for an answer, exactly"), "transcript",
    ),
    Command("stop", "stop", "escape", N_("Stop"), N_("Stop the answer; what was written is kept"), bar=3),
    Command("regenerate", "regenerate", "ctrl+r", N_("Again"), N_("Answer the last question again"), bar=8),
    Command(
        "edit", "edit_last", "f8,ctrl+l", N_("Edit question"),
        N_("Edit the last question; its answer is replaced when you send"),
    ),
    Command("raw", "raw", "ctrl+u", N_("Raw text"), N_("The message letter for letter"), "transcript", bar=9),
    Command(
        "copy", "copy", "ctrl+y", N_("Copy"),
        N_("Send the message to your terminal's clipboard"), "transcript", bar=9,
    ),
    Command(
        "teaching", "teaching", "f12,ctrl+right_square_bracket", N_("Teaching view"),
        N_("The causal chain of an answer, step by step, for rounds"),
    ),
    Command(
        "full_names", "full_names", "ctrl+k", N_("Full names"),
        N_("Show or hide the full name behind an abbreviation, added by the program"), "transcript",
    ),
    Command("language", "language", "f9,ctrl+backslash", N_("Language"), N_("中文 / English")),
    Command("quit", "quit_asked", "f10", N_("Quit"), N_("Leave; asks first if there is a conversation"), bar=10),
    Command("quit.empty", "quit_if_empty", "ctrl+d", N_("Quit"), N_("Leave, when the draft is empty")),
    Command("interrupt", "interrupt", "ctrl+c", N_("Stop"), N_("Stop the answer; says how to quit if there is none")),
    Command("palette", "palette", "ctrl+p", N_("Commands"), N_("Every command, by name"), bar=7),
)  # fmt: skip

_FIRST = ("interrupt", "quit.empty", "palette")
_BY_ID = {command.id: command for command in COMMANDS}

_NAMES = {
    "escape": "Esc", "enter": "Enter", "tab": "Tab", "space": "Space", "up": "Up", "down": "Down", "pageup": "PgUp",
    "pagedown": "PgDn", "home": "Home", "end": "End", "backslash": "\\", "left_square_bracket": "[",
    "right_square_bracket": "]", "backspace": "Backspace", "delete": "Del", "left": "Left", "right": "Right",
    "@": "2", "underscore": "_", "circumflex_accent": "^",
}  # fmt: skip


def command(id: str) -> Command:
    """The command of an id."""
    return _BY_ID[id]


def unknown_ids(overrides: Mapping[str, str]) -> list[str]:
    """The ids of ``settings.keymap`` that name no command."""
    return sorted(set(overrides) - set(_BY_ID))


def bindings() -> list[BindingType]:
    """Textual bindings of every command, on actions of the app."""
    return [
        Binding(
            command.keys,
            f"app.in_turn('{command.action}')" if _first(command) else f"app.{command.action}",
            command.label,
            id=command.id,
            show=False,
            priority=_first(command),
        )
        for command in COMMANDS
        if command.keys and command.id != "lock"  # the lock's keys are the app's own, in every window
    ]


def _first(command: Command) -> bool:
    """Whether a key comes before the composer's own (ctrl+c copies there, ctrl+d deletes, f7 selects).

    It then comes before what was typed just now, too; the action ``in_turn`` puts that right.
    """
    return command.id in _FIRST or re.match(r"f\d", command.keys) is not None


def raw_keys(command: Command, overrides: Mapping[str, str]) -> list[str]:
    """The keys in force for a command, as Textual names them; none where it is in the palette only."""
    keys = overrides.get(command.id, command.keys)
    return [key.strip() for key in keys.split(",") if key.strip()]


def keys_of(command: Command, overrides: Mapping[str, str]) -> list[str]:
    """The keys in force for a command, as a person reads them: ``["F2", "Ctrl+T"]``."""
    return list(dict.fromkeys(readable(key) for key in raw_keys(command, overrides)))


def way_to(command: Command, overrides: Mapping[str, str]) -> str:
    """How a person reaches a command: its keys, else through the palette: ``Ctrl+P, Memory``."""
    keys = keys_of(command, overrides)
    return " / ".join(keys) if keys else ", ".join([*keys_of(_BY_ID["palette"], overrides)[:1], _(command.label)])


def readable(key: str) -> str:
    """``ctrl+t`` as ``Ctrl+T``, ``f2`` as ``F2``, ``escape`` as ``Esc``."""
    *modifiers, last = key.split("+")
    name = _NAMES.get(last, last.upper() if len(last) == 1 and modifiers else last)
    if last[:1] == "f" and last[1:].isdigit():
        name = last.upper()
    return "+".join([*(modifier.capitalize() for modifier in modifiers), name])
