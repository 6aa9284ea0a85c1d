"""Both languages are complete, the compiled catalogues are today's, and placeholders match."""

from __future__ import annotations

import string

import pytest

from medgemma_tui import i18n
from tests.tools import catalogues


def _placeholders(text: str) -> set[str | None]:
    return {name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("folder", catalogues.FOLDERS)
def test_every_message_is_translated(folder: str) -> None:
    today = catalogues.updated(folder, catalogues.extracted())
    assert {m.id for m in catalogues.read(folder)} == {m.id for m in today}, "run make locales"
    assert catalogues.missing(today) == []


@pytest.mark.parametrize("folder", catalogues.FOLDERS)
def test_compiled_catalogues_are_up_to_date(folder: str) -> None:
    path = catalogues.po_path(folder)
    assert path.with_suffix(".mo").read_bytes() == catalogues.compiled(catalogues.read(folder)), "run make locales"


@pytest.mark.parametrize("folder", catalogues.FOLDERS)
def test_placeholders_are_those_of_the_message(folder: str) -> None:
    for message in catalogues.read(folder):
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = message.string if isinstance(message.string, tuple | list) else (message.string,)
        wanted = set().union(*(_placeholders(text) for text in ids))
        for text in strings:
            assert _placeholders(text) <= wanted, message.id
            assert wanted - _placeholders(text) <= ({"n", "count"} & wanted), message.id


def test_language_follows_the_environment() -> None:
    assert i18n.language_from_environment({"LANG": "zh_CN.UTF-8"}) == "zh"
    assert i18n.language_from_environment({"LANG": "en_GB.UTF-8"}) == "en"
    assert i18n.language_from_environment({"LC_ALL": "zh_CN", "LANG": "en_US"}) == "zh"
    assert i18n.language_from_environment({}) == "en"
    assert i18n.language_from_environment({"LANG": "zh_CN.UTF-8", "TERM": "linux"}) == "en"
