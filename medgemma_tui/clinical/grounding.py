"""Whether a few words stand in a text: literally, or all of them within one of its sentences."""

from __future__ import annotations

import re

from medgemma_tui.clinical.textform import fold

_SENTENCE = re.compile(r"[。！？；;!?\n]|\.(?=\s|$)")
_MARKS = re.compile(r"[*_`]+")
_WORD = re.compile(r"[a-z0-9α-ω]+(?:[.-][a-z0-9α-ω]+)*")
_CHINESE = re.compile(r"[\u3400-\u9fff]+")
_SMALL_ZH = frozenset("的了及与和或并等中内在被其后前由地得之所")
_SMALL_EN = frozenset(
    (
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "to",
        "and",
        "or",
        "by",
        "with",
        "from",
        "at",
        "is",
        "are",
        "its",
        "due",
        "for",
    )
)


def cleaned(text: str) -> str:
    """Without Markdown's marks for bold, italic and code, and with single blanks."""
    return " ".join(_MARKS.sub("", text).split())


class Grounds:
    """A text in which labels are looked for. Linear in the text to make, and for each label."""

    def __init__(self, text: str) -> None:
        self._sentences = [" ".join(piece.split()) for piece in _SENTENCE.split(fold(_MARKS.sub("", text)))]
        self._words = [tuple(_WORD.findall(sentence)) for sentence in self._sentences]

    def hold(self, label: str) -> bool:
        """Whether the label stands in the text.

        Literally (letters not within another word), or every part of it in one sentence: each English word or one
        with the same beginning (ruptured, rupture), each number as it is, each Chinese character as part of a pair
        that stands there, too; one character of three or more may stand there alone (肾衰竭 in 肾功能衰竭).
        """
        folded = " ".join(fold(_MARKS.sub("", label)).split())
        words = [word for word in _WORD.findall(folded) if word not in _SMALL_EN]
        runs: list[str] = _CHINESE.findall(folded)
        if not words and not any(set(run) - _SMALL_ZH for run in runs):
            return False
        return any(
            _literally(folded, sentence) or (_words_stand(words, known) and _characters_stand(runs, sentence))
            for sentence, known in zip(self._sentences, self._words, strict=True)
        )


def _literally(label: str, sentence: str) -> bool:
    at = sentence.find(label)
    while at >= 0:
        end = at + len(label)
        if not (_within_word(sentence, at) or _within_word(sentence, end)):
            return True
        at = sentence.find(label, end)
    return False


def _within_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and all(char.isalnum() and char < "\u2e80" for char in text[at - 1 : at + 1])


def _words_stand(words: list[str], known: tuple[str, ...]) -> bool:
    return all(any(_alike(word, other) for other in known) for word in words)


def _alike(word: str, other: str) -> bool:
    word, other = (each.replace("ae", "e").replace("oe", "e") for each in (word, other))  # ischaemia, ischemia
    if word == other:
        return True
    shorter = min(len(word), len(other))
    if shorter < 5 or any(char.isdigit() for char in word):
        return False
    share = max(5, shorter - 2)
    return word[:share] == other[:share]


def _characters_stand(runs: list[str], sentence: str) -> bool:
    alone = total = 0
    for run in runs:
        stands = [char in _SMALL_ZH for char in run]
        total += stands.count(False)
        for at in range(len(run) - 1):
            if run[at : at + 2] in sentence:
                stands[at] = stands[at + 1] = True
        for char, stood in zip(run, stands, strict=True):
            if not stood:
                alone += 1
                if char not in sentence or alone > 1:
                    return False
    return alone == 0 or total >= 3
