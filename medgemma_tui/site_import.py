"""Storing a site's own table of terms: the whole file is checked first, and nothing is stored where anything is wrong.

The table is read line by line into a database beside where it will lie, and takes its place in one step when it is
complete: whoever looks a term up meanwhile finds the old one. Memory does not grow with the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from medgemma_tui.clinical import site_index, site_terms
from medgemma_tui.clinical.site_terms import Description, Problem, Row

MOST_PROBLEMS: Final = 20
"""After so many wrong lines the rest is not read."""
LONGEST_LINE: Final = 64 * 1024
STEP: Final = 20_000
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_FILE_MODE: Final = 0o640
_DIRECTORY_MODE: Final = 0o750
_SNOMED: Final = "SNOMED CT"

_TABLES: Final = """
    pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -16000;
    create table meta (key text primary key, value text);
    create table filter (bits blob);
    create table term (expression text primary key, zh text, en text, icd11 text, icd10 text, system text, code text,
        line integer) without rowid;
    create table staged.description (concept text, expression text, term text, zh integer, complete integer, tag text,
        line integer);
    begin;
"""
# A concept's English name is its fully specified one. A Chinese edition may have synonyms alone: its first is then the
# Chinese name.
_CONCEPTS: Final = (
    """create table staged.concept as
        select concept, min(case when not zh then term end) en, min(case when zh then term end) zh from description
        where complete and concept in (select concept from description where tag in (select value from json_each(?)))
        group by concept""",
    "create index staged.concept_key on concept (concept)",
    "create table staged.chinese as select concept, term, min(line) from description where zh group by concept",
    "create index staged.chinese_key on chinese (concept)",
    """insert into term
        select d.expression, coalesce(c.zh, z.term, c.en), coalesce(c.en, c.zh), '', '', ?, c.concept, min(d.line)
        from description d join concept c on c.concept = d.concept left join chinese z on z.concept = d.concept
        group by d.expression having count(distinct d.concept) = 1""",
)

Progress = Callable[[int], None]


class Refused(Exception):
    """The table is not stored; ``problems`` says why, line by line. ``more``: not all of it was read."""

    def __init__(self, problems: list[Problem], *, more: bool = False) -> None:
        self.problems, self.more = problems, more
        super().__init__(f"{len(problems)} problems")


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored and where. ``skipped`` counts what cannot be looked for: see ``import_table``."""

    path: Path
    expressions: int
    skipped: int
    repeated: int


@dataclass(slots=True)
class _Problems:
    found: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        self.found.append(problem)
        if len(self.found) >= MOST_PROBLEMS:
            raise Refused(self.found, more=True)


def import_table(source: Path, directory: Path, name: str, progress: Progress = lambda lines: None) -> Stored:
    """Check the table in ``source`` and store it as ``name`` in ``directory``, in the place of an older one.

    Of SNOMED CT the active descriptions of disorders and findings are stored. Skipped, and counted, are expressions of
    one sign, ones that several concepts share, and all of other kinds. A table's own rows are never skipped: two
    rows that give one expression two meanings are a problem.
    Raises Refused, or OSError where a file cannot be read or written.
    """
    directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".import-", dir=directory))
    try:
        built = work / "built.sqlite"
        with contextlib.closing(_new_database(built)) as database:
            with source.open("rb") as stream:
                counts = _read(stream, database, name, progress)
            _finish(database)
        target = directory / f"terms-{name}.sqlite"
        _put(built, target)
        return Stored(target, *counts)
    except sqlite3.Error as error:
        raise OSError(5, str(error), str(directory)) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _new_database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("attach ? as staged", (str(path.with_name("staged.sqlite")),))
    database.executescript(f"pragma staged.journal_mode = off; pragma staged.synchronous = off; {_TABLES}")
    return database


def _read(stream: BinaryIO, database: sqlite3.Connection, name: str, progress: Progress) -> tuple[int, int, int]:
    """Fill the database; returns how many expressions there are, how many were skipped, how many came twice."""
    problems = _Problems()
    lines = _lines(stream, problems, progress)
    first = next(lines, None)
    if first is None:
        raise Refused(problems.found or [Problem(1, "empty")])
    kind = site_terms.kind_of(first[1])
    if kind is None:
        raise Refused([Problem(1, "no_header")])
    counts = (_read_rf2 if kind == "rf2" else _read_tsv)(first[1], lines, database, problems, name)
    if not problems.found and not counts[0]:
        problems.found.append(Problem(1, "empty"))
    if problems.found:
        raise Refused(problems.found)
    return counts


def _lines(stream: BinaryIO, problems: _Problems, progress: Progress) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without their ends and the byte-order mark."""
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in line:
                raise Refused([Problem(1, "not_utf8")])
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) >= LONGEST_LINE and not line.endswith(b"\n"):
            raise Refused([*problems.found, Problem(number, "line_too_long")], more=True)
        if number % STEP == 0:
            progress(number)
        try:
            yield number, line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            problems.add(Problem(number, "not_utf8"))


def _read_tsv(
    header: str, lines: Iterator[tuple[int, str]], database: sqlite3.Connection, problems: _Problems, name: str
) -> tuple[int, int, int]:
    columns = site_terms.tsv_columns(header)
    if isinstance(columns, Problem):
        raise Refused([*problems.found, columns])
    stored = repeated = 0
    for number, line in lines:
        row = site_terms.tsv_row(number, line, columns, name)
        if isinstance(row, Problem):
            problems.add(row)
        elif row is not None:
            if _insert(database, row):
                stored += 1
            else:
                repeated += 1
                _check_same(database, row, problems)
    return stored, 0, repeated


def _insert(database: sqlite3.Connection, row: Row) -> bool:
    values = (site_index.key_of(row.expression), row.zh, row.en, row.icd11, row.icd10, row.system, row.code, row.line)
    return database.execute("insert or ignore into term values (?,?,?,?,?,?,?,?)", values).rowcount > 0


def _check_same(database: sqlite3.Connection, row: Row, problems: _Problems) -> None:
    """The expression was there already: that is a problem where it stood for something else."""
    *values, line = database.execute(
        "select zh, en, icd11, icd10, system, code, line from term where expression = ?",
        (site_index.key_of(row.expression),),
    ).fetchone()
    if tuple(values) != (row.zh, row.en, row.icd11, row.icd10, row.system, row.code):
        problems.add(Problem(row.line, "conflict", f"{row.expression}|{line}"))


def _read_rf2(
    header: str, lines: Iterator[tuple[int, str]], database: sqlite3.Connection, problems: _Problems, name: str
) -> tuple[int, int, int]:
    columns = site_terms.rf2_columns(header)
    if isinstance(columns, Problem):
        raise Refused([*problems.found, columns])
    skipped = 0
    for number, line in lines:
        found = site_terms.rf2_description(number, line, columns)
        if isinstance(found, Problem):
            problems.add(found)
        elif found is not None:
            if site_terms.usable(found.term):
                database.execute("insert into description values (?,?,?,?,?,?,?)", _staged(found))
            else:
                skipped += 1
    if problems.found:
        return 0, 0, 0
    staged = database.execute("select count(*) from description").fetchone()[0]
    for statement in _CONCEPTS:
        values = (json.dumps(site_terms.TAGS),) if "json_each" in statement else (_SNOMED,) if "?" in statement else ()
        database.execute(statement, values)
    stored = database.execute("select count(*) from term").fetchone()[0]
    distinct = database.execute(
        "select count(*) from (select distinct expression, concept from description)"
    ).fetchone()[0]
    return stored, skipped + distinct - stored, staged - distinct


def _staged(found: Description) -> tuple[object, ...]:
    chinese = found.language.startswith("zh")
    key = site_index.key_of(found.term)
    return found.concept, key, found.term, chinese, found.full, found.tag, found.line


def _finish(database: sqlite3.Connection) -> None:
    count, longest = database.execute("select count(*), max(length(expression)) from term").fetchone()
    expressions = (expression for (expression,) in database.execute("select expression from term"))
    database.execute("insert into filter values (?)", (site_index.bit_field(expressions, count),))
    meta = {"version": site_index.VERSION, "longest": longest, "expressions": count}
    database.executemany("insert into meta values (?, ?)", [(key, str(value)) for key, value in meta.items()])
    database.execute("commit")


def _put(built: Path, target: Path) -> None:
    """On the disk for certain, then in its place."""
    built.chmod(_FILE_MODE)
    descriptor = os.open(built, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    built.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
