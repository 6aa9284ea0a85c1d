"""What checks find and what meanings say belong together: no code without words, no words without a code."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import medgemma_tui
from medgemma_tui.health import checks, meanings
from medgemma_tui.health.meanings.meaning import COMMON
from medgemma_tui.health.registry import CHECKS
from medgemma_tui.protocol import Item

CHECK_FILES = sorted(Path(checks.__file__).parent.rglob("*.py"))
PACKAGE = Path(medgemma_tui.__file__).parent
ALL = [(check, code, meaning) for check, found in meanings.MEANINGS.items() for code, meaning in found.items()]
ALL += [("every check", code, meaning) for code, meaning in COMMON.items()]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _strings(path: Path) -> frozenset[str]:
    """Every string of a file."""
    return frozenset(
        node.value for node in ast.walk(_tree(path)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@cache
def _strings_of_the_program() -> frozenset[str]:
    """Every string outside the meanings: a code may come from a table elsewhere (a model's problem, a reason)."""
    files = [path for path in PACKAGE.rglob("*.py") if "meanings" not in path.parts]
    return frozenset().union(*(_strings(path) for path in files))


@cache
def _templates(group: str) -> tuple[re.Pattern[str], ...]:
    """The texts of a group's checks that are put together of values, as expressions with a group for each value."""
    found = []
    for path in CHECK_FILES:
        for node in ast.walk(_tree(path)) if _group(path) == group else ():
            if isinstance(node, ast.JoinedStr) and len(node.values) > 1:
                for value in ("(.+?)", "(.+)"):  # both ways to cut two_words_and_more
                    parts = [re.escape(str(v.value)) if isinstance(v, ast.Constant) else value for v in node.values]
                    found.append(re.compile("".join(parts)))
    return tuple(found)


def _is_put_together(group: str, code: str) -> bool:
    """Whether a check makes this code of values that are texts of the program."""
    matches = [found for template in _templates(group) if (found := template.fullmatch(code)) is not None]
    return any(set(found.groups()) <= _strings_of_the_program() for found in matches)


def _placeholders(text: str) -> set[str]:
    return {name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name}


def _calls(path: Path, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == name:
            yield node


def _codes(node: ast.expr) -> list[str]:
    """The codes that an argument can be, as far as it says so itself: a text, one of two, one for box and demo."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return _codes(node.body) + _codes(node.orelse)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "graded":
        return [found + twin for found in _codes(node.args[1]) for twin in ("", "_demo")]
    return []


def _argument(call: ast.Call, position: int, name: str) -> ast.expr | None:
    if len(call.args) > position:
        return call.args[position]
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _group(path: Path) -> str:
    return path.relative_to(Path(checks.__file__).parent).parts[0]


def _ids(path: Path) -> list[str]:
    """The checks that a file has; those of the whole group for a file that several share."""
    module = "medgemma_tui.health.checks." + ".".join(
        path.relative_to(Path(checks.__file__).parent).with_suffix("").parts
    )
    own = [check.id for check in CHECKS if getattr(check.run, "__module__", "") == module]
    return own or [check.id for check in CHECKS if check.group == _group(path)]


def _keys(node: ast.expr | None) -> set[str] | None:
    """The keys of a literal dictionary; None where they cannot be told by looking."""
    if node is None:
        return set()
    if not isinstance(node, ast.Dict):
        return None
    if not all(isinstance(key, ast.Constant) for key in node.keys):
        return None
    return {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}


def test_every_check_has_a_title_and_meanings():
    ids = [check.id for check in CHECKS]
    assert len(ids) == len(set(ids))
    assert [check for check in ids if check not in meanings.TITLES] == []
    assert [check for check in ids if not meanings.MEANINGS.get(check)] == []
    assert [check for check in ids if check.partition(".")[0] not in meanings.GROUP_TITLES] == []


def test_nothing_is_worded_that_is_no_check():
    ids = {check.id for check in CHECKS}
    assert set(meanings.TITLES) - ids == set()
    assert set(meanings.MEANINGS) - ids == set()


def test_what_is_not_well_has_advice():
    bad = ("warning", "critical", "unknown")
    silent = [(check, code) for check, code, meaning in ALL if meaning.status in bad and not meaning.advice.strip()]
    idle = [(check, code) for check, code, meaning in ALL if meaning.status not in bad and meaning.advice]
    assert silent == [], "these say what is wrong and not what to do"
    assert idle == [], "these have advice, and nothing is wrong"
    assert [(check, code) for check, code, meaning in ALL if not meaning.text.strip()] == []


def test_every_check_can_be_well_and_can_fail():
    for check in CHECKS:
        statuses = {meaning.status for meaning in meanings.MEANINGS[check.id].values()}
        assert "ok" in statuses, check.id
        assert statuses & {"warning", "critical", "unknown"}, check.id


@pytest.mark.parametrize("path", CHECK_FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_code_of_a_check_has_a_meaning(path):
    known = set(COMMON).union(*(meanings.MEANINGS[check] for check in _ids(path)))
    used = {code for call in _calls(path, "Outcome") if call.args for code in _codes(call.args[0])}
    assert used - known == set()


@pytest.mark.parametrize("path", CHECK_FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_item_of_a_check_has_words(path):
    used = [node for call in _calls(path, "Item") if (node := _argument(call, 0, "code")) is not None]
    codes = {code for node in used for code in _codes(node)}
    assert codes - set(meanings.ITEMS) == set()


def test_every_meaning_is_somebodys():
    told = _strings_of_the_program()
    orphans = [
        f"{check}: {code}"
        for check, code, _meaning in ALL
        if not {code, code.removesuffix("_demo")} & told and not _is_put_together(check.partition(".")[0], code)
    ]
    assert orphans == [], "nothing makes these outcomes"


@pytest.mark.parametrize("path", CHECK_FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_the_values_of_a_sentence_are_given(path):
    """Where a call gives its code and its values in so many words, no {name} of text or advice is missing."""
    known: dict[str, list[set[str]]] = {}
    for check in _ids(path):
        for code, meaning in meanings.MEANINGS[check].items():
            known.setdefault(code, []).append(_placeholders(meaning.text) | _placeholders(meaning.advice))
    for call in _calls(path, "Outcome"):
        given = _keys(_argument(call, 1, "params"))
        if given is None or not call.args or any(keyword.arg is None for keyword in call.keywords):
            continue
        for code in _codes(call.args[0]):
            if code in known:  # of several checks with such a code it is one
                assert any(wanted <= given for wanted in known[code]), f"{path.name}: {code} lacks values"


@pytest.mark.parametrize("path", CHECK_FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_the_values_of_an_item_are_given(path):
    for call in _calls(path, "Item"):
        node, given = _argument(call, 0, "code"), _keys(_argument(call, 1, "params"))
        for code in _codes(node) if node is not None and given is not None else []:
            words = meanings.ITEMS[code]
            assert _placeholders(words.text) | _placeholders(words.advice) <= given, f"{path.name}: {code} lacks values"


def test_items_and_messages_are_well_formed():
    for code, words in meanings.ITEMS.items():
        assert Item(code=code).code == code
        assert words.text or words.worded, code
        _placeholders(words.text), _placeholders(words.advice)


def test_a_check_that_a_sentence_points_to_exists():
    groups = "|".join(meanings.GROUP_TITLES)
    pointer = re.compile(rf"(?<![\w/.-])(?:{groups})\.[a-z_]+\b(?![/.]\w)")
    texts = [(f"{check}: {code}", text) for check, code, meaning in ALL for text in (meaning.text, meaning.advice)]
    texts += [(code, text) for code, words in meanings.ITEMS.items() for text in (words.text, words.advice)]
    known = {check.id for check in CHECKS} | {"audit.key"}  # a file's name
    wrong = [(where, found) for where, text in texts for found in pointer.findall(text) if found not in known]
    assert wrong == []
