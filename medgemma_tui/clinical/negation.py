"""Whether a text says that something is not there: 否认心梗、房颤史; no history of stroke; 心梗已排除.

A rule-based reading after NegEx and ConText: cues before an expression reach to the end of its clause or list, cues
behind it must follow closely. What is left open (不能排除, cannot be ruled out, 待排) and questions (有无) are no
negations. A relative's illness is no negation either: ``of_relative`` tells it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.lexicon import Lexicon, Match

ROLES: Final = frozenset({
    "denies", "negates", "near", "open", "harmless", "stops", "filler", "absent_after", "open_after", "relative",
    "patient", "relative_after", "attending",
})  # fmt: skip
_BEFORE: Final = ("denies", "negates", "near", "open", "harmless")
_STOPPING: Final = ("stops", "filler", "harmless")
_AFTER: Final = ("absent_after", "open_after", "harmless")
_TELLING: Final = ("patient", "attending")

# How far back and forth the reading goes, in characters: lists in Chinese notes are long, sentences rarely longer.
_BACK: Final = 160
_FORTH: Final = 80
_NEAR: Final = 12
_GAP: Final = 14
_CLOSE: Final = 4

_HARD: Final = re.compile(r"[。;!?\n]|\.(?![a-z0-9])")
_PAUSE: Final = re.compile(r"[,，]")
_DURATION: Final = re.compile(
    r"(?:\d|[一二三四五六七八九十两数几半多余]) ?(?:个|余|多)?"
    r"(?:天|日|周|月|年|小时|次|d\b|h\b|days?|weeks?|months?|years?|hours?)"
)
_ASKS: Final = re.compile(
    r"怎么|怎样|如何|能否|可否|是否|能不能|可以|[吗呢]|什么|(?<![a-z])(?:how|what|should|can)(?![a-z])"
)
_LIST_END: Final = re.compile(r"(?:史|等)(?:等|者)?[\s)]*$")
_TRIGGER_AFTER: Final = re.compile(r"[排除未阴不存均无否(:据]|rul|exclu|absen|neg|not|den|none")
_KIN_AFTER: Final = re.compile(r"家族|famil|mother|father")
_MINE: Final = re.compile(r"(?:我们?家?的?|(?<![a-z])my\s(?:[a-z0-9-]{1,14}\s){0,2})$")
_WIDEST: Final = 40  # characters of what _MINE finds
_SOMEBODY: Final = re.compile(
    r"[我男女岁]|患者|患儿|病人|本人|(?<![a-z])(?:i|i'm|my|patient|pt|man|woman|year)(?![a-z])"
)
_MYSELF: Final = re.compile(
    r"我(?!们?家?的?[父母爸妈爷奶外姥哥姐弟妹儿女老丈]|们)|本人|患者|(?<![a-z])(?:i|i'm|me|patient)(?![a-z])"
)
# Between a negation and a new verb there must be something that is negated, or the verb belongs to the negation.
_NOTHING: Final = re.compile(
    r"[\s:的曾既往近期有任何相关明显确患过其他特殊自觉感]*|(?:\s|any|ever|known|recent|previous|prior|a|an|the)*"
)
# 无明确的心梗 negates the infarction; 无并发症的糖尿病 does not negate the diabetes.
_ATTRIBUTE: Final = re.compile(
    r"(?:明显|明确|典型|任何|相关|急性|慢性|严重|既往|其他|显著|特殊|确切|类似|活动性|新发|异常)+的$"
)


@tables.compiled
def _cues(*roles: str) -> Lexicon[str]:
    """The cues of these roles; where one has several the first role in the tuple counts."""
    found: list[tuple[str, str]] = []
    for row in tables.rows("negation", "cue"):
        role, expressions = row.get("role"), row.get("expressions")
        if not isinstance(role, str) or role not in ROLES:
            raise tables.TableError("negation.toml", f"[[cue]] has an unknown role: {role!r}")
        if not isinstance(expressions, list) or not all(isinstance(cue, str) and cue.strip() for cue in expressions):
            raise tables.TableError("negation.toml", f"[[cue]] role {role}: expressions must be a list of texts")
        found += [(cue, str(role)) for cue in expressions if role in roles]
    return Lexicon(sorted(found, key=lambda cue: -roles.index(cue[1])))


def negated(folded: str, start: int, end: int) -> bool:
    """Whether what stands at ``[start, end)`` is said not to be there. ``folded`` is ``textform.fold`` of the text.

    Looks at most 160 characters back and 80 ahead. For many places of one text a ``Reader`` is quicker.
    """
    low, high = max(0, start - _BACK - 1), end + _FORTH + 1
    return Reader(folded[low:high], once=True).negated(start - low, end - low)


def of_relative(folded: str, start: int, end: int) -> bool:
    """Whether what stands at ``[start, end)`` is said of a relative (父亲有心梗, family history of stroke)."""
    low, high = max(0, start - _BACK - 1), end + _FORTH + 1
    return Reader(folded[low:high], once=True).of_relative(start - low, end - low)


class Reader:
    """Reads one folded text; what negates is looked for once, however many places are asked about.

    ``once``: a single place will be asked about.
    """

    def __init__(self, folded: str, *, once: bool = False) -> None:
        self._folded, self._once = folded, once
        self._found: dict[str, tuple[list[Match[str]], list[int]]] = {}
        self._kin: tuple[list[int], list[int]] | None = None
        self._headings: set[int] = set()
        self._people: tuple[int, int] | None = None
        self._stops = [stop.start() for stop in _HARD.finditer(folded)]

    @property
    def folded(self) -> str:
        """The text that it reads."""
        return self._folded

    def _clause_start(self, start: int) -> int:
        before = bisect_left(self._stops, start)
        return max(0, start - _BACK, self._stops[before - 1] + 1 if before else 0)

    def _clause_end(self, end: int) -> int:
        behind = bisect_left(self._stops, end)
        return min(len(self._folded), end + _FORTH, *self._stops[behind : behind + 1])

    def negated(self, start: int, end: int) -> bool:
        """Whether what stands at ``[start, end)`` is said not to be there."""
        folded = self._folded
        if start > 1 and folded[start - 1] == "不" and folded[start - 2] not in f"无莫岂要是{folded[start]}":
            return True  # 不发热
        if start == 1 and folded[0] == "不":
            return True
        if start and folded[start - 1] == "未":
            return True  # 未呕吐; 未控制的高血压 and 未排除心梗 do not stand directly behind it
        after = self._after(end)
        return after if after is not None else self._before(start, end)

    def of_relative(self, start: int, end: int) -> bool:
        """Whether what stands at ``[start, end)`` is said of a relative."""
        folded = self._folded
        told, behind = self._kin_places()
        at = bisect_left(behind, end)
        if at < len(behind) and behind[at] < end + _CLOSE + 24:
            tail = folded[end : self._clause_end(end)][: _CLOSE + 24]
            if _KIN_AFTER.search(tail) and any(match.start <= _CLOSE for match in _cues("relative_after").find(tail)):
                return True
        at = bisect_left(told, start)
        if not at or told[at - 1] < start - _BACK:
            return False
        if told[at - 1] not in self._headings and folded.find(",", told[at - 1], start) >= 0:
            return False  # as below, told sooner
        teller = next(reversed(self._between("relative", self._clause_start(start), start)), None)
        if teller and any(
            match.value == "patient" or match.start <= _CLOSE - 1
            for match in _cues(*_TELLING).find(folded[teller.end : start])
        ):
            teller = None
        if teller is None or self.is_patient(teller.start):
            return False
        # A comma ends what is said of a person; a heading (家族史) reaches to the full stop.
        heading = self._is_heading(teller)
        return heading or _PAUSE.search(folded, teller.end, start) is None

    def _is_heading(self, cue: Match[str]) -> bool:
        written = self._folded[cue.start : cue.end]
        return "史" in written or "family" in written

    def _kin_places(self) -> tuple[list[int], list[int]]:
        """Where relatives are spoken of, before and behind what they have; most texts have no such place."""
        if self._kin is None:
            cues = list(_cues("relative").find(self._folded))
            self._headings = {cue.start for cue in cues if self._is_heading(cue)}
            told = [cue.start for cue in cues]
            self._kin = told, [match.start() for match in _KIN_AFTER.finditer(self._folded)]
        return self._kin

    def is_patient(self, relative: int) -> bool:
        """Whether the relative named at this place is whom the question is about: 我爸65岁，心梗后能喝酒吗？

        So it is where nobody else was spoken of before, and the asker says nothing of himself behind it.
        """
        mine = _MINE.search(self._folded, max(0, relative - _WIDEST), relative)
        if mine is None:
            return False
        if self._people is None:
            somebody = _SOMEBODY.search(self._folded)
            myself = [match.start() for match in _MYSELF.finditer(self._folded)]
            self._people = somebody.end() if somebody else len(self._folded), myself[-1] if myself else -1
        return self._people[0] > mine.start() and self._people[1] < relative

    def _between(self, role: str, low: int, high: int) -> list[Match[str]]:
        """The cues in ``[low, high)``; one that reaches over an end is read anew from what is inside."""
        roles = _BEFORE if role == "before" else (role,)
        if self._once:
            return self._anew(roles, low, high)
        if role not in self._found:
            matches = list(_cues(*roles).find(self._folded))
            self._found[role] = matches, [match.start for match in matches]
        matches, starts = self._found[role]
        first, last = bisect_left(starts, low), bisect_left(starts, high)
        inside = matches[first:last]
        if first and matches[first - 1].end > low:
            inside = self._anew(roles, low, min(high, matches[first - 1].end)) + inside
        if inside and inside[-1].end > high:
            inside = inside[:-1] + self._anew(roles, inside[-1].start, high)
        return inside

    def _anew(self, roles: tuple[str, ...], low: int, high: int) -> list[Match[str]]:
        found = _cues(*roles).find(self._folded[low:high])
        return [Match(match.start + low, match.end + low, match.value) for match in found]

    def _before(self, start: int, end: int) -> bool:
        folded = self._folded
        cue: Match[str] | None = None
        for match in self._between("before", self._clause_start(start), start):
            if match.value in ("denies", "negates") or (match.value == "near" and cue is None):
                cue = match  # a later cue has its own scope, unless it reaches less far than the list it stands in
            elif match.value == "open":
                cue = None
        if cue is None:
            return False
        between = folded[cue.end : start]
        if any(
            match.value == "stops" and not _is_nothing(between[: match.start])
            for match in _cues(*_STOPPING).find(between)
        ):
            return False
        if any(between[: match.start].rstrip().endswith(",") for match in _cues("relative").find(between)):
            return False  # 否认糖尿病史，父亲患糖尿病
        if cue.value == "near":
            return len(between) <= _NEAR and not _PAUSE.search(between) and between.count(" ") <= 2
        if _heading_between(between) or _attribute_between(between, cue.value):
            return False
        pauses = [pause.start() for pause in _PAUSE.finditer(between)]
        tail = folded[end : self._clause_end(end)]
        return not pauses or _list_goes_on(between, pauses, tail, wide=cue.value == "denies")

    def _after(self, end: int) -> bool | None:
        """True or False where a cue behind the expression decides, None where there is none."""
        tail = self._folded[end : self._clause_end(end)]
        reach = tail[: _GAP + 24]
        if not _TRIGGER_AFTER.search(reach):
            return None
        pause = _PAUSE.search(reach)
        if pause and reach[: pause.start()].strip():
            reach = reach[: pause.start()]  # 心梗，已排除 is one statement; 心梗伴休克，排除夹层 is two
        for match in _cues(*_AFTER).find(reach):
            if match.start > _GAP:
                return None
            if match.value == "open_after":
                return False
            if match.value == "absent_after" and _closes(tail, match.start, match.end):
                return True
        return None


def _closes(tail: str, start: int, end: int) -> bool:
    """Whether a cue behind an expression ends its clause: 心梗已排除。 but not 心梗排除夹层后溶栓."""
    rest = tail[end:].removeprefix("了").removeprefix("的").lstrip(" )")
    if tail[start] in "(:" and start > _CLOSE:
        return False  # 糖尿病史:无, 胸痛(-) stand close
    return not rest or not (rest[0].isalnum())


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


def _list_goes_on(between: str, pauses: list[int], tail: str, *, wide: bool) -> bool:
    """Whether the list that a negation opens still goes on behind its commas."""
    segments = [between[a + 1 : b] for a, b in zip(pauses, [*pauses[1:], len(between)], strict=True)]
    own = _PAUSE.split(tail, maxsplit=1)[0]
    if _DURATION.search(own) or any(_DURATION.search(segment) for segment in segments):
        return False  # 无发热，咳嗽3天: what lasted was there
    if _ASKS.search(own):
        return False  # 否认心梗史，感冒怎么治？
    if wide:
        # 否认高血压史，糖尿病史 goes on as it began; 否认心梗史，长期吸烟，感冒 does not
        first = between[: pauses[0]]
        return _LIST_END.search(first) is None or _LIST_END.search(own) is not None
    return any(_LIST_END.search(part) for part in _PAUSE.split(tail)[:6])
