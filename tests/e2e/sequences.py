"""A strict grammar of what a terminal is sent, and the list of what this program may send it.

``unexpected`` cuts bytes into control sequences and text, as a terminal would, and returns what is not on the list.
The list was taken from runs with harmless text, one a console profile; it is everything that Textual makes for us.
"""

from __future__ import annotations

import re

# --- what Textual makes for this program, as regular expressions of whole sequences ---

_COLOUR = r"(?:[34]9|[349]\d|10\d|[34]8;5;\d{1,3}|[34]8;2;\d{1,3};\d{1,3};\d{1,3})"
SCREEN = {
    "style": rf"\x1b\[(?:0|(?:[1-9];)*(?:[1-9]|{_COLOUR})(?:;{_COLOUR})*)m",
    "place": r"\x1b\[\d{1,4};\d{1,4}H",
    "pointer shape": r"\x1b\]22;(?:default|pointer|text)\x07",
    "next row": r"\r\n",
}
ENTER = {
    "alternate screen": r"\x1b\[\?1049h",
    "mouse": r"\x1b\[\?(?:1000|1003|1015|1006)h",
    "no cursor": r"\x1b\[\?25l",
    "focus": r"\x1b\[\?1004h",
    "keyboard protocol": r"\x1b\[>25u",
    "asks for synchronised output": r"\x1b\[\?2026\$p",
    "asks for in-band resize": r"\x1b\[\?2048\$p",
    "bracketed paste": r"\x1b\[\?2004h",
    "no wrap": r"\x1b\[\?7l",
}
LEAVE = {
    "mouse off": r"\x1b\[\?(?:1000|1003|1015|1006)l",
    "bracketed paste off": r"\x1b\[\?2004l",
    "wrap": r"\x1b\[\?7h",
    "keyboard protocol off": r"\x1b\[<u",
    "main screen": r"\x1b\[\?1049l",
    "cursor": r"\x1b\[\?25h",
    "focus off": r"\x1b\[\?1004l",
}
LINES = {"line": r"\r?\n", "tab": r"\t", "start of line": r"\r", "rest of the line": r"\x1b\[K"}
"""What commands and plain mode may send: lines, one of them rewritten in place. The terminal makes CR LF of LF."""

# --- the grammar ---

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[]P_^X]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|\Z)"  # strings, with or without an end
    r"|\x1b[ -/]*[0-~]"
    r"|\r?\n|\r"
    r"|[\x00-\x1f\x7f-\x9f]"
)
# no text of ours or of anybody's may hold these once it is on its way to a terminal
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def unexpected(seen: bytes, *allowed: dict[str, str]) -> set[str]:
    """Every sequence in ``seen`` that is none of ``allowed``, and every character that hides or reorders text.

    Bytes that are not UTF-8 are unexpected, too: a terminal in 8-bit mode might read C1 controls in them.
    """
    may = re.compile("|".join(pattern for each in allowed for pattern in each.values()))
    text = seen.decode("utf-8", errors="surrogateescape")
    odd = {found[0][:60] for found in _SEQUENCE.finditer(text) if not may.fullmatch(found[0])}
    return odd | set(_HIDDEN.findall(text)) | set(re.findall("[\ud800-\udfff]", text))


def left_clean(seen: bytes) -> list[str]:
    """What a program did not put back before it ended; empty where the terminal is as it was."""
    switches = [(mode, b"\x1b[?%dh" % mode, b"\x1b[?%dl" % mode) for mode in (1049, 1000, 1003, 1015, 1006, 1004, 2004)]
    switches += [(25, b"\x1b[?25l", b"\x1b[?25h"), (7, b"\x1b[?7l", b"\x1b[?7h"), (0, b"\x1b[>25u", b"\x1b[<u")]
    return [str(mode) for mode, on, off in switches if on in seen and seen.rfind(off) < seen.rfind(on)]


def main_screen(seen: bytes) -> bytes:
    """What was written outside the alternate screen: it is what stays to be read when the program has ended."""
    return re.sub(rb"\x1b\[\?1049h.*?(?:\x1b\[\?1049l|\Z)", b"", seen, flags=re.DOTALL)
