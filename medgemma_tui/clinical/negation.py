"""Whether a text says that something is not there: 否认心梗、房颤史; no history of stroke; 心梗已排除.

A rule-based reading after NegEx and ConText: cues before an expression reach to the end of its clause or list, cues
behind it must follow closely. What is left open (不能排除, cannot be ruled out, 待排) and questions (有无) are no
negations. A relative's illness is no negation either: ``of_relative`` tells it.
"""

from __future__ import annotations

import re
from typing import Final

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.lexicon import Lexicon, Match

ROLES: Final = frozenset({
    "denies", "negates", "near", "open", "harmless", "stops", "filler", "absent_after", "open_after", "relative",
    "patient", "relative_after", "attending",
})  # fmt: skip
_BEFORE: Final = ("denies", "negates", "near", "open", "harmless", "stops", "filler")
_AFTER: Final = ("absent_after", "open_after", "harmless")
_RELATIVE: Final = ("relative", "patient", "attending")

# How far back and forth the reading goes, in characters: lists in Chinese notes are long, sentences rarely longer.
_BACK: Final = 160
_FORTH: Final = 80
_NEAR: Final = 12
_GAP: Final = 14
_CLOSE: Final = 4

_HARD: Final = re.compile(r"[。;!?\n]|\.(?![a-z0-9])")
_STOPS: Final = "。;!?\n"
_PAUSE: Final = re.compile(r"[,，]")
_DURATION: Final = re.compile(
    r"(?:\d|[一二三四五六七八九十两数几半多余]) ?(?:个|余|多)?"
    r"(?:天|日|周|月|年|小时|次|d\b|h\b|days?|weeks?|months?|years?|hours?)"
)
_LIST_END: Final = re.compile(r"(?:史|等)(?:等|者)?[\s)]*$")
# Most texts before an expression hold none of these: then nothing needs to be looked up.
_TRIGGER: Final = re.compile(
    r"[否无没未不非排除阴]|n[o']|den[iy]|w/o|without|neg|absen|free|never|rule|exclud|rather|instead|-\)"
)
_KIN: Final = re.compile(r"[父母爸妈双祖爷奶外姥哥姐弟妹兄其叔伯舅姑姨堂表妻丈配家亲一儿女胞长老室同岳]|[a-z]")
_TRIGGER_AFTER: Final = re.compile(r"[排除未阴不存均无否(:据]|rul|exclu|absen|neg|not|den|none")
_KIN_AFTER: Final = re.compile(r"家族|famil|mother|father")
# Between a negation and a new verb there must be something that is negated, or the verb belongs to the negation.
_NOTHING: Final = re.compile(
    r"[\s:的曾既往近期有任何相关明显确患过其他特殊自觉感]*|(?:\s|any|ever|known|recent|previous|prior|a|an|the)*"
)
# 无明确的心梗 negates the infarction; 无并发症的糖尿病 does not negate the diabetes.
_ATTRIBUTE: Final = re.compile(
    r"(?:明显|明确|典型|任何|相关|急性|慢性|严重|既往|其他|显著|特殊|确切|类似|活动性|新发|异常)+的$"
)


@tables.compiled
def _cues(roles: tuple[str, ...]) -> Lexicon[str]:
    """The cues of these roles; where one has several the first role in the tuple counts."""
    found: list[tuple[str, str]] = []
    for row in tables.rows("negation", "cue"):
        role, expressions = row.get("role"), row.get("expressions")
        if role not in ROLES:
            raise tables.TableError("negation.toml", f"[[cue]] has an unknown role: {role!r}")
        if not isinstance(expressions, list) or not all(isinstance(cue, str) and cue.strip() for cue in expressions):
            raise tables.TableError("negation.toml", f"[[cue]] role {role}: expressions must be a list of texts")
        found += [(cue, str(role)) for cue in expressions if role in roles]
    return Lexicon(sorted(found, key=lambda cue: -roles.index(cue[1])))


def negated(folded: str, start: int, end: int) -> bool:
    """Whether what stands at ``[start, end)`` is said not to be there. ``folded`` is ``textform.fold`` of the text.

    Takes some ten microseconds; looks at most 160 characters back and 80 ahead.
    """
    after = _after(folded, end)
    return after if after is not None else _before(folded, start, end)


def of_relative(folded: str, start: int, end: int) -> bool:
    """Whether what stands at ``[start, end)`` is said of a relative (父亲有心梗, family history of stroke)."""
    tail = folded[end : _clause_end(folded, end)]
    if any(
        match.value == "relative_after" and match.start <= 4 for match in _cues(("relative_after",)).find(tail[:30])
    ):
        return True
    begin = _clause_start(folded, start)
    window = folded[begin:start]
    if not _KIN.search(window):
        return False
    teller: Match[str] | None = None
    for match in _cues(_RELATIVE).find(window):
        if match.value == "relative":
            teller = match
        elif match.value == "patient" or (teller is not None and match.start - teller.end <= 3):
            teller = None
    if teller is None:
        return False
    # A comma ends what is said of a person; a heading (家族史) reaches to the full stop.
    heading = "史" in window[teller.start : teller.end] or "family" in window[teller.start : teller.end]
    return heading or _PAUSE.search(window, teller.end) is None


def _before(folded: str, start: int, end: int) -> bool:
    begin = _clause_start(folded, start)
    window = folded[begin:start]
    if not _TRIGGER.search(window):
        return False
    cue: Match[str] | None = None
    for match in _cues(_BEFORE).find(window):
        role = match.value
        if role in ("denies", "negates", "near"):
            # "否认无…" hardly happens; a later cue has its own scope, unless it is swallowed by a wider list.
            if cue is None or role != "near":
                cue = match
        elif role == "open" or (role == "stops" and cue and not _is_nothing(window[cue.end : match.start])):
            cue = None
    if cue is None:
        return False
    between = window[cue.end :]
    if cue.value == "near":
        return len(between) <= _NEAR and not _PAUSE.search(between) and between.count(" ") <= 2
    if _heading_between(between) or _attribute_between(between, cue.value):
        return False
    pauses = [pause.start() for pause in _PAUSE.finditer(between)]
    return not pauses or _list_goes_on(folded, between, pauses, end, wide=cue.value == "denies")


def _after(folded: str, end: int) -> bool | None:
    """True or False where a cue behind the expression decides, None where there is none."""
    tail = folded[end : _clause_end(folded, end)]
    reach = tail[: _GAP + 24]
    if not _TRIGGER_AFTER.search(reach):
        return None
    pause = _PAUSE.search(reach)
    if pause and reach[: pause.start()].strip():
        reach = reach[: pause.start()]  # 心梗，已排除 is one statement; 心梗伴休克，排除夹层 is two
    for match in _cues(_AFTER).find(reach):
        if match.start > _GAP:
            return None
        if match.value == "open_after":
            return False
        if match.value == "absent_after" and _closes(tail, match):
            return True
    return None


def _closes(tail: str, match: Match[str]) -> bool:
    """Whether a cue behind an expression ends its clause: 心梗已排除。 but not 心梗排除夹层后溶栓."""
    rest = tail[match.end :].removeprefix("了").removeprefix("的").lstrip(" )")
    if tail[match.start] in "(:" and match.start > 4:
        return False  # 糖尿病史:无, 胸痛(-) stand close
    return not rest or not (rest[0].isalnum())


def _clause_start(folded: str, start: int) -> int:
    low = max(0, start - _BACK)
    last = max(folded.rfind(sign, low, start) for sign in _STOPS) + 1
    point = folded.rfind(".", max(low, last), start)
    while point >= 0 and folded[point + 1].isalnum() and folded[point + 1].isascii():  # 1.5, e.g.x
        point = folded.rfind(".", max(low, last), point)
    return max(low, last, point + 1)


def _clause_end(folded: str, end: int) -> int:
    stop = _HARD.search(folded, end, end + _FORTH)
    return stop.start() if stop else min(len(folded), end + _FORTH)


def _is_nothing(between: str) -> bool:
    return _NOTHING.fullmatch(between) is not None


def _heading_between(between: str) -> bool:
    """A heading begins something new: 胸片未见异常 诊断：肺炎. Not directly behind the cue (否认：心梗)."""
    colon = between.rfind(":")
    return colon >= 0 and not _is_nothing(between[:colon])


def _attribute_between(between: str, role: str) -> bool:
    if role == "denies" or not between.rstrip().endswith("的"):
        return False
    return _ATTRIBUTE.search(between.rstrip()) is None and between.strip() != "的"


def _list_goes_on(folded: str, between: str, pauses: list[int], end: int, *, wide: bool) -> bool:
    """Whether the list that a negation opens still goes on behind its commas."""
    segments = [between[a + 1 : b] for a, b in zip(pauses, [*pauses[1:], len(between)], strict=True)]
    tail = folded[end : _clause_end(folded, end)]
    own = _PAUSE.split(tail, maxsplit=1)[0]
    if _DURATION.search(own) or any(_DURATION.search(segment) for segment in segments):
        return False  # 无发热，咳嗽3天: what lasted was there
    if wide:
        return True
    return any(_LIST_END.search(part) for part in _PAUSE.split(tail)[:6])
