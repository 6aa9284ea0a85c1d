"""The help's text: keys of the place one is in, every command with its twin, and what the words on the screen mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from rich.cells import cell_len

from medgemma_tui import clinical_words, problems
from medgemma_tui.clinical.findings import MarkKind
from medgemma_tui.i18n import N_, _
from medgemma_tui.tui.keymap import COMMANDS, command, keys_of

_PLACES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "composer": (
        N_("You are in the question"),
        (
            ("Enter", N_("send")),
            ("Ctrl+J", N_("new line (also Shift+Enter or Alt+Enter, where the terminal can tell)")),
            ("Up, Down", N_("at the first or last line: earlier questions; then suggestions or the transcript")),
            ("Ctrl+W, Ctrl+U, Ctrl+K", N_("delete a word, to the start, to the end of the line")),
            ("Ctrl+Z, Ctrl+Y", N_("undo, redo; also of what was trimmed, or filled in from a template")),
            ("Tab", N_("to the next place: suggestions, transcript")),
        ),
    ),
    "transcript": (
        N_("You are in the transcript"),
        (
            ("Up, Down, PgUp, PgDn, Home, End", N_("scroll; End follows the answer again")),
            ("Left, Right", N_("select the turn before or after")),
            ("Enter", N_("show or hide the reasoning of the selected turn alone")),
            ("Ctrl+U, Ctrl+Y", N_("raw text; copy to your terminal's clipboard")),
            ("Ctrl+E", N_("what the model was given for the selected turn")),
            ("Ctrl+X, Ctrl+W", N_("four parts; how much of the context window is used")),
            ("Tab", N_("back to the question; what you type goes there too")),
        ),
    ),
    "suggestions": (
        N_("You are in the suggestions"),
        (
            ("Up, Down, Enter", N_("put one into the question; Enter there sends it")),
            ("Esc", N_("back to the question")),
        ),
    ),
    "card": (
        N_("You are in the patient card"),
        (
            ("Esc, F4", N_("pin what is written and close; an empty card pins nothing")),
            ("Ctrl+Z, Ctrl+Y", N_("undo, redo")),
            ("Enter", N_("new line")),
        ),
    ),
    "palette": (
        N_("You are in the list of commands"),
        (
            (N_("letters"), N_("a part of a command's name, in either language, narrows the list")),
            ("Up, Down, Enter", N_("choose one and run it")),
            ("Esc", N_("close without running anything")),
        ),
    ),
    "raw": (
        N_("You are in the raw text: the message letter for letter, as it was typed and as the model wrote it"),
        (
            (N_("Shift + arrows"), N_("select a part")),
            ("c", N_("copy the selection, or all of it, to your terminal's clipboard")),
            ("Esc", N_("close")),
        ),
    ),
    "teaching": (
        N_("You are in the teaching view: the causal chain of one answer, step by step"),
        (
            (N_("Space"), N_("play or pause; at the end from the start; while the model is asked: do not wait")),
            ("Left, Right", N_("a step back or forward")),
            ("Home, End", N_("the first step, the last one")),
            ("+, -", N_("quicker, slower")),
            ("w", N_("write an asciicast file (asciinema) where nothing in it could tell who the patient is")),
            ("Esc", N_("close; the chain is forgotten, the conversation stays as it was")),
        ),
    ),
    "health": (
        N_("You are in the health window: whether this box is fit, and what to do where it is not"),
        (
            ("Up, Down, PgUp, PgDn, Home, End", N_("move; what is failing stands first, with what to do")),
            ("Enter", N_("open a check: its figures and limits, details, and how it was in the last runs")),
            ("Left, Right", N_("in an opened check: the one before, the next one")),
            ("R", N_("run the checks now (ops only); it goes on where you close the window")),
            ("F", N_("run them with every byte of the model hashed, which takes minutes (ops only)")),
            ("S, Tab", N_("every figure of GPU, host, service, model and privacy, live")),
            ("M", N_("memory: who holds the card, what would fit")),
            ("Esc", N_("from a check to the list, from the list to the chat")),
        ),
    ),
    "memory": (
        N_("You are in memory help: who holds the card, what would fit, and how to take it"),
        (
            ("R", N_("ask for the figures again")),
            ("PgUp, PgDn", N_("scroll")),
            ("Up, Down, Enter", N_("ops only: choose a process and be asked whether it is to end")),
            ("Esc", N_("close; nothing was changed")),
        ),
    ),
    "end_process": (
        N_("You are asked whether another's process is to end"),
        (
            ("N, Esc", N_("no: it is left alone")),
            ("Y", N_("yes: it is sent the signal that is named; the audit log records that you did it")),
            ("PgUp, PgDn", N_("read a long command line to its end")),
        ),
    ),
    "guard": (
        N_("You are asked what is to become of what could tell who the patient is"),
        (
            ("M, Enter", N_("mask it and go on; what is clinical stays in the text")),
            ("S", N_("leave it as it is, where the site allows that")),
            ("E, Esc", N_("back to your text, which is as you typed it")),
        ),
    ),
    "pin": (
        N_("You are asked for a PIN that opens the locked screen"),
        (
            (N_("letters, digits"), N_("the PIN; Backspace takes one away, Ctrl+U all")),
            ("Enter", N_("on to typing it again; with nothing typed, after F6: lock without a PIN")),
            ("Esc", N_("back; nothing is locked, and no PIN is set or changed")),
        ),
    ),
    "take_back": (
        N_("You are asked about a conversation of yours that the service keeps"),
        (
            ("T, Enter", N_("take it back: conversation, card and draft as they were")),
            ("W", N_("wipe it")),
            ("L, Esc", N_("leave it where it is, until the time that is shown")),
        ),
    ),
    "prompt": (
        N_("You are in the prompt view: what the model was given for one answer, letter for letter"),
        (
            ("Up, Down, PgUp, PgDn", N_("scroll")),
            ("Esc, q", N_("close")),
        ),
    ),
    "confirm": (
        N_("You are asked before something is lost"),
        (
            ("N, Esc", N_("no: everything stays as it is")),
            ("Y", N_("yes: what the question says is done, and cannot be undone")),
            ("Up, Down, Enter", N_("choose; the mark stands on the safe answer at first")),
        ),
    ),
}

_STATES = (
    (N_("GPU: OK"), N_("the card answered just now and is not slowed, failed or without figures")),
    (N_("GPU: slowed"), N_("the card runs below its speed; the reason stands beside it (heat, power limit …)")),
    (N_("GPU: none"), N_("no card was found; the reason stands beside it")),
    (N_("unknown"), N_("nobody measured it; it is not the same as OK")),
    (N_("n/a"), N_("this card does not tell the figure")),
    (
        N_("Privacy: local-only, sealed"),
        N_("measured just now: the kernel keeps screen, gateway and worker from any network, and none holds a socket"),
    ),
    (
        N_("Privacy: not sealed"),
        N_("something could get out, or nobody knows better; F3, then S, says what, and what to do"),
    ),
    (N_("Health: fit"), N_("the last run of all checks found nothing wrong; its time stands beside it")),
    (
        N_("Health: NOT FIT"),
        N_("a check found what must be put right before clinic; F3 says what. By site policy nothing may be answered"),
    ),
    (N_("Health: old, not checked"), N_("no run in the last 26 hours, or none at all: nobody knows")),
    (
        N_("lock"),
        N_(
            "the screen shows nothing; with a PIN all stays here, without one the installed service keeps it until you "
            "log in again; left locked for too long, everything is wiped and the session ends"
        ),
    ),
    (N_("reserve"), N_("the part of the context window that is kept free for reasoning and answer")),
    (N_("left the context"), N_("the turn is still shown, but the model does not see it any more")),
)

_PALETTE = command("palette")
_FINISHES = ("length", "cancelled", "second_trace", "next_speaker", "repetition", "non_finite")


def help_text(place: str, overrides: Mapping[str, str]) -> str:
    """The help for a place: a key of ``_PLACES``; the question's for any other."""
    title, rows = _PLACES.get(place, _PLACES["composer"])
    parts = [_(title), _table([(_(keys), _(text)) for keys, text in rows])]
    parts += [
        _("Commands (the second key works where function keys do not)"),
        _table(
            [
                (
                    " / ".join(keys_of(each, overrides) or keys_of(_PALETTE, overrides)),
                    _("{name}: {value}").format(name=_(each.label), value=_(each.help)),
                )
                for each in COMMANDS
            ]
        ),
        _("How an answer can end"),
        _table([(reason, problems.finish_sentence(reason)) for reason in _FINISHES]),
        _("Marks on reasoning and answer: what was found and can be checked, never that it is right"),
        _table([(clinical_words.mark_kind(kind), clinical_words.mark_meaning(kind)) for kind in get_args(MarkKind)]),
        _("Words on the screen"),
        _table([(_(word), _(meaning)) for word, meaning in _STATES]),
        _("About"),
        _("For qualified clinicians. It supports a decision and does not make it: check every answer before use."),
        _(
            "The model was not evaluated for several turns and mostly in English; wording changes its answers. Without "
            "reasoning its answers have been measured to be less safe."
        ),
    ]
    return "\n\n".join(parts)


def _table(rows: list[tuple[str, str]]) -> str:
    width = min(24, max(cell_len(left) for left, _right in rows))
    return "\n".join(
        f"  {left}{' ' * (width - cell_len(left))}  {right}" if cell_len(left) <= width else f"  {left}\n    {right}"
        for left, right in rows
    )
