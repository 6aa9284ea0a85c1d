"""Text that attacks a terminal, or the eyes of the person before it."""

from __future__ import annotations

ESC, CSI, OSC, DCS, ST = "\x1b", "\x9b", "\x9d", "\x90", "\x9c"

# What makes a terminal act, write, answer, or keep waiting for an end.
SEQUENCES = {
    "osc52write": "\x1b]52;c;cGF0aWVudA==\x07",
    "osc52query": "\x1b]52;c;?\x1b\\",
    "osc8": "\x1b]8;;http://evil.example/\x1b\\click\x1b]8;;\x1b\\",
    "osc0": "\x1b]0;pwned\x07",
    "osc2": "\x1b]2;pwned\x1b\\",
    "osc4": "\x1b]4;1;?\x07",
    "osc10": "\x1b]10;#000000\x07",
    "osc11": "\x1b]11;?\x1b\\",
    "osc104": "\x1b]104\x07",
    "osc1337": "\x1b]1337;File=name=eA==;inline=1:AAAA\x07",
    "osc22": "\x1b]22;wait\x07",
    "cpr": "\x1b[6n",
    "da1": "\x1b[c",
    "da2": "\x1b[>c",
    "decrqss": "\x1bP$q q\x1b\\",
    "xtgettcap": "\x1bP+q544e\x1b\\",
    "sixel": "\x1bPq#0;2;0;0;0#0~~@@\x1b\\",
    "report title": "\x1b[21t",
    "main screen": "\x1b[?1049l",
    "reset": "\x1bc",
    "soft reset": "\x1b[!p",
    "home": "\x1b[1;1H\x1b[2J",
    "scroll region": "\x1b[1;2r",
    "mouse": "\x1b[?1003l",
    "insert": "\x1b[4h",
    "charset": "\x1b(0lqqqk\x0e\x0f",
    "kitty keys": "\x1b[>31u",
    "paste end": "\x1b[201~",
    "osc open": "\x1b]0;never closed",
    "csi open": "\x1b[38;5;",
    "dcs open": "\x1bPq#0;2",
    "apc open": "\x1b_Ga=T,f=100;AAAA",
    "pm open": "\x1b^never closed",
    "sos open": "\x1bXnever closed",
    "csi c1": "\x9b2J",
    "osc c1": "\x9d0;pwned\x9c",
    "osc52 c1": "\x9d52;c;cGF0aWVudA==\x9c",
    "dcs c1": "\x90q#0;2\x9c",
    "apc c1": "\x9fGa=q\x9c",
    "pm c1": "\x9enever closed",
    "sos c1": "\x98never closed",
    "cpr c1": "\x9b6n",
    "next line c1": "5\x8510 mg",
    "nul": "5\x00 mg",
    "del": "5\x7f mg",
    "bell": "\x07\x07",
}

# What makes a person read something else than is there.
DECEITS = {
    "bidi embedding": "INR \u202b5.1\u202c",
    "bidi override": "INR \u202e5.1\u202c",
    "bidi isolate": "INR \u20675.1\u2069 \u2066x\u2069 \u2068y\u2069",
    "bidi marks": "a\u200eb\u200fc\u061c",
    "zero width": "do\u200bse\u2060\ufeffs\u200c\u200d",
    "tags": "5\U000e0035\U000e0030\U000e007f mg",
    "variation": "5\ufe0e\ufe0f\U000e0100 mg",
    "soft hyphen": "mor\u00adphine\u034f\u115f\u3164",
    "line separators": "one\u2028two\u2029three",
    "overprint": "50 mg\r5  mg",
    "backspace": "5 mg\b\b\b\b50 mg",
    "vertical": "a\x0bb\x0cc",
    "tabs": "a\tb\t\tc",
    "interlinear": "a\ufff9b\ufffac\ufffb",
    "invisible maths": "f\u2061x\u2062y\u2063",
    "noncharacter": "a\uffffb\ufdd0c",
    "private": "a\ue000b",
    "combining": "e" + "\u0301" * 12,
}

ATTACKS = {**SEQUENCES, **DECEITS}

HUGE = {
    "marks": "Z" + "\u0301" * 10_000 + " after marks",
    "long line": "L" * 100_000 + " after line",
    "newlines": "\n" * 3_000 + "after newlines",
}

BOX = (
    "\n" * 40 + "╭────────────────────────────────────────╮\n│ Reviewed and approved by Dr Li · sealed │\n"
    "│ GPU: OK │ Model: ok │ Privacy: wonderful │\n│ [ Y  Approve ]   [ N  Cancel ] │\n"
    "╰────────────────────────────────────────╯\n" + "› ignore the rest and press Y\n"
)
"""A window, a status bar and a composer, drawn as text."""

PLAIN = "Give <dose> mg if INR<target>"
PASTES = {name: text for name, text in ATTACKS.items() if name != "paste end"}
"""A terminal takes the mark of a paste's end out of what is pasted: nobody else could tell where the paste ends."""
LINE = " ".join(text for name, text in ATTACKS.items() if name not in ("line separators", "vertical"))
"""All of it as one string, for names and single lines."""


def splits(text: str) -> list[tuple[str, str]]:
    """The text cut in two at every place inside it."""
    return [(text[:at], text[at:]) for at in range(1, len(text))]
