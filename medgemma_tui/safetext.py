"""The one boundary that makes foreign text safe for a terminal.

Foreign is what a model wrote, a person pasted, a file or device is named, or another program reported. Each code
point is judged alone, so a sequence cut across stream chunks cannot form again: ``clean(a) + clean(b)`` is
``clean(a + b)``, but for a ``\\r\\n`` cut in two, which then gives an empty line more.

Dropped:

- control characters (Cc, with ESC and the 8-bit C1 range: what every escape sequence begins with), but for newline and
  tab;
- bidirectional marks, embeddings, overrides and isolates: they show text in another order than it is stored in;
- every other code point that Unicode calls default-ignorable: zero-width space, joiner and non-joiner, word joiner,
  byte-order mark, soft hyphen, fillers, tags, variation selectors. They are invisible, so a drug's name with one inside
  looks right and is not found, and terminals disagree about their width, which breaks the columns. The price:
  a joined emoji falls apart into its members, and Persian and some Indic words lose their joining hints. Chinese and
  English, this program's languages, need none of them.

Line breaks of other kinds (``\\r``, ``\\r\\n``, vertical tab, form feed, U+001C–1E, U+0085, U+2028, U+2029) become
``\\n``, because dropping them would join "5" and "10 mg". Lone surrogates and noncharacters become U+FFFD. All else
stays, letter for letter. Markup such as ``[b]`` or ``<dose>`` is text here; not reading it as markup is the
renderer's duty.
"""

from __future__ import annotations

import json
import re

_INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f"  # Cc, without the line breaks
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # and from here Default_Ignorable_Code_Point
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_BREAKS = "\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
_BROKEN = "\ud800-\udfff\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)

# One class, so that safe text is passed over at the regex engine's full speed; what it finds is looked at closer.
_UNSAFE = re.compile(f"[{_INVISIBLE}{_BREAKS}{_BROKEN}]+")
_INVISIBLE_ONE, _BREAK_ONE, _BROKEN_ONE = (re.compile(f"[{each}]") for each in (_INVISIBLE, _BREAKS, _BROKEN))
_TO_SPACE = str.maketrans("\n\t", "  ")


def clean(text: str, *, keep_newlines: bool = True) -> str:
    """``text`` without what a terminal would obey or hide. Tabs stay; the renderer expands them.

    With ``keep_newlines`` false the result is one line: every newline and tab is a space.
    """
    safe = _UNSAFE.sub(_replacement, text.replace("\r\n", "\n"))
    return safe if keep_newlines else safe.translate(_TO_SPACE)


def clean_line(text: str) -> str:
    """``text`` as one safe line: for names, paths, devices, errors."""
    return clean(text, keep_newlines=False)


def escape_json(document: str) -> str:
    """A JSON document that means the same, with all that :func:`clean` would drop or change written as ``\\u`` escapes.

    JSON itself escapes only what is below U+0020: the 8-bit C1 controls and bidirectional marks would get through.
    """
    return _UNSAFE.sub(lambda run: json.dumps(run[0])[1:-1], document)


def _replacement(run: re.Match[str]) -> str:
    marked = _BROKEN_ONE.sub("\ufffd", _BREAK_ONE.sub("\n", run[0]))
    return _INVISIBLE_ONE.sub("", marked)
