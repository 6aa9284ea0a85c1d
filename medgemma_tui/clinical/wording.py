"""The listed words that a reply is read for, found in one pass: bodies, hedges, cues, actions, terms and methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from medgemma_tui.clinical import tables
from medgemma_tui.clinical.lexicon import Lexicon
from medgemma_tui.clinical.rowfields import choice_of, text_of, texts_of
from medgemma_tui.clinical.textform import fold

CueRole = Literal["recommend", "recommend_after", "avoid", "avoid_after", "asks", "reason", "ignore"]
Role = Literal["body", "title", "hedge", "action", "drug", "term", "method", CueRole]
When = Literal["mention", "value", "measured"]


@dataclass(frozen=True, slots=True)
class Word:
    """What a listed expression stands for. ``capitals``: only where it is written in capitals."""

    role: Role
    id: str = ""
    capitals: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A listed expression at ``[start, end)`` and all that it stands for."""

    start: int
    end: int
    words: tuple[Word, ...]
    roles: frozenset[Role]

    def id_of(self, *roles: Role) -> str | None:
        """The id of the first word that has one of these roles."""
        return next((word.id for word in self.words if word.role in roles), None)

    def has(self, *roles: Role) -> bool:
        return not self.roles.isdisjoint(roles)


@dataclass(frozen=True, slots=True)
class Wording:
    """The lists compiled. ``leads``: what leads to an action besides itself; ``when``: the rule of a term."""

    lexicon: Lexicon[tuple[tuple[Word, ...], frozenset[Role]]]
    leads: dict[str, frozenset[str]]
    when: dict[str, When]


def find(text: str, folded: str) -> list[Hit]:
    """All listed expressions of a text from left to right; the longest counts at each place."""
    found = []
    for match in wording().lexicon.find(folded):
        words, roles = match.value
        if "body" in roles and words[0].capitals and not text[match.start : match.end].isupper():
            words = tuple(word for word in words if word.role != "body")
            roles = frozenset(word.role for word in words)
        if words:
            found.append(Hit(match.start, match.end, words, roles))
    return found


@tables.compiled
def wording() -> Wording:
    """The lists. Raises TableError where one cannot be used."""
    made = _Maker()
    for row in tables.rows("guidelines", "organisation"):
        for name in texts_of("guidelines", row, "names"):
            made.put(name, Word("body", name, name.isascii() and name.isupper()))
    for row in tables.rows("guidelines", "title"):
        made.put_all(texts_of("guidelines", row, "words"), Word("title"))
    for row in tables.rows("hedges", "hedge"):
        made.put_all(texts_of("hedges", row, "words"), Word("hedge"))
    for row in tables.rows("hedges", "not_hedge"):
        made.put_all(texts_of("hedges", row, "words"), None)
    for row in tables.rows("review", "cue"):
        role = cast(CueRole, choice_of("review", row, "role", get_args(CueRole)))
        made.put_all(texts_of("review", row, "words"), None if role == "ignore" else Word(role))
    leads = _actions(made)
    when: dict[str, When] = {}
    for row in tables.rows("review", "method"):
        id_ = text_of("review", row, "id")
        when[id_] = cast(When, choice_of("review", row, "when", get_args(When)))
        made.put_all(texts_of("review", row, "names"), Word("term", id_))
        made.put_all(texts_of("review", row, "methods"), Word("method", id_))
    return Wording(made.lexicon(), leads, when)


def between_words() -> tuple[str, ...]:
    """Words that may stand between a body and the year of its guideline."""
    found: list[str] = []
    for row in tables.rows("guidelines", "title"):
        found += [*texts_of("guidelines", row, "words"), *texts_of("guidelines", row, "between")]
    return tuple(fold(word) for word in found)


_EMPTY: Final[tuple[Word, ...]] = ()


class _Maker:
    """Collects what each expression stands for; one that stands for nothing only hides shorter ones."""

    def __init__(self) -> None:
        self._words: dict[str, tuple[Word, ...]] = {}

    def put(self, expression: str, word: Word | None) -> None:
        folded = fold(expression).strip()
        if not folded:
            raise tables.TableError("review.toml", "an expression is empty")
        known = self._words.get(folded, _EMPTY)
        if word is None:
            self._words[folded] = _EMPTY  # a site's not_hedge takes a packaged hedge out
        elif word not in known:
            self._words[folded] = (*known, word)

    def put_all(self, expressions: list[str], word: Word | None) -> None:
        for expression in expressions:
            self.put(expression, word)

    def lexicon(self) -> Lexicon[tuple[tuple[Word, ...], frozenset[Role]]]:
        return Lexicon(
            (expression, (words, frozenset(word.role for word in words)) if words else None)
            for expression, words in self._words.items()
        )


def _actions(made: _Maker) -> dict[str, frozenset[str]]:
    """Drugs, groups and procedures; what leads to each: its groups, and a group's members."""
    for row in tables.rows("drugs", "drug"):
        zh, en = text_of("drugs", row, "zh"), text_of("drugs", row, "en")
        made.put_all([zh, en, *texts_of("drugs", row, "names")], Word("drug", fold(en)))
    for row in tables.rows("drugs", "ignore"):
        made.put_all(texts_of("drugs", row, "names"), None)
    leads: dict[str, set[str]] = {}
    for row in tables.rows("review", "action"):
        id_ = fold(text_of("review", row, "id"))
        made.put_all(texts_of("review", row, "names"), Word("action", id_))
        for member in map(fold, texts_of("review", row, "members")):
            leads.setdefault(id_, set()).add(member)
            leads.setdefault(member, set()).add(id_)
    return {id_: frozenset(found) for id_, found in leads.items()}
