"""Golden questions: their right answer is known, and this judges an answer to one. Data: ``golden.toml``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from medgemma_tui.health.golden_text import normal

_OWN: Final = Path(__file__).parent / "data" / "golden.toml"
_REFUSED_WITHIN: Final = 300
"""Characters within which an answer that refuses must say so."""
MOST: Final = 50
"""Questions of a site's own list at most: each is a whole answer."""


class GoldenError(Exception):
    """A list of questions cannot be used. ``problem`` names the field, and never quotes a value."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error.msg}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Statement(_Strict):
    """Something that an answer says, in one of the texts of ``any`` or by one of the patterns of ``match``."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    any: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    match: tuple[Pattern, ...] = ()

    @model_validator(mode="after")
    def _says_something(self) -> Statement:
        if not self.any and not self.match:
            raise ValueError("give any or match")
        return self

    def is_in(self, said: str) -> bool:
        """Whether a text in the normal form says it."""
        return any(normal(text).strip() in said for text in self.any) or any(
            re.search(each, said) for each in self.match
        )


class Question(_Strict):
    """One question. ``refuse``: the right answer is to refuse. ``source``: the guideline and its year."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
    question: Annotated[str, Field(min_length=1, max_length=2000)]
    language: Literal["zh", "en"]
    source: Annotated[str, Field(min_length=1)]
    reviewer: str = "not yet reviewed by a clinician"
    refuse: bool = False
    fact: tuple[Statement, ...] = ()
    forbidden: tuple[Statement, ...] = ()
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 1280
    thinking_budget: Annotated[int, Field(ge=1)] | None = 512

    @model_validator(mode="after")
    def _can_fail(self) -> Question:
        if not self.fact and not self.refuse:
            raise ValueError("give a fact, or refuse = true")
        return self


class Golden(_Strict):
    """A list of questions. ``refusal``: one of these patterns is in an answer that refuses; empty: the built-in."""

    refusal: tuple[Pattern, ...] = ()
    question: Annotated[tuple[Question, ...], Field(min_length=1, max_length=MOST)]

    @model_validator(mode="after")
    def _ids_differ(self) -> Golden:
        if len({question.id for question in self.question}) != len(self.question):
            raise ValueError("two questions have the same id")
        return self


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with an answer: names of facts that are missing and of forbidden statements that are there."""

    missing: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    not_refused: bool = False


@cache
def own() -> Golden:
    """The built-in questions."""
    return load(_OWN)


def load(path: Path) -> Golden:
    """A list of questions from a file. Raises GoldenError."""
    try:
        return Golden.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except OSError as error:
        raise GoldenError(path, error.strerror or type(error).__name__) from None
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GoldenError(path, f"{where}: {first['msg']}" if where else first["msg"]) from None
    except tomllib.TOMLDecodeError as error:  # its text says where, and what sign it did not expect there
        raise GoldenError(path, f"no TOML: {error}") from None
    except UnicodeDecodeError:
        raise GoldenError(path, "no UTF-8 text") from None


def judge(question: Question, answer: str, refusal: tuple[str, ...] = ()) -> Verdict:
    """What an answer lacks, and what it says that it must not. ``refusal``: the site's own patterns, if it has any."""
    said = normal(answer)
    opening = said[:_REFUSED_WITHIN]
    refuses = any(re.search(pattern, opening) for pattern in refusal or own().refusal)
    return Verdict(
        missing=tuple(fact.name for fact in question.fact if not fact.is_in(said)),
        said=tuple(statement.name for statement in question.forbidden if statement.is_in(said)),
        not_refused=question.refuse and not refuses,
    )
