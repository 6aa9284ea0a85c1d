"""``terms lookup`` and ``terms import``, from outside: what is printed, stored, refused, and where."""

import json
import os
import pty
import select
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medgemma_tui import i18n, site_import, site_lists, terms
from medgemma_tui.clinical import site_index, tables
from medgemma_tui.clinical.terms import find_terms
from medgemma_tui.clinical.textform import fold, is_word
from medgemma_tui.settings import Settings

HEAD = "expression\tstandard_zh\tstandard_en\ticd11\ticd10\tsystem\tcode\n"
RF2 = "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\n"
FULL, SYNONYM = "900000000000003001", "900000000000013009"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site's directory in use."""
    i18n.set_language("en")
    directory = tmp_path / "clinical"
    directory.mkdir()
    tables.use_site_directory(directory)
    yield directory
    tables.use_site_directory(None)


@pytest.fixture
def store(site, tmp_path, capsys):
    """Imports a table from its text or bytes; returns the exit code, stdout and stderr."""

    def run(content, name="own"):
        path = tmp_path / "table.tsv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        code = terms.import_file(Settings(clinical_dir=site), path, name)
        output = capsys.readouterr()
        return code, output.out, output.err.replace(f"{tmp_path}/", "")

    return run


def rf2(*rows):
    lines = [
        f"{n}\t20240131\t{active}\t9\t{concept}\t{lang}\t{kind}\t{term}\t9\n"
        for n, (concept, lang, kind, term, active) in enumerate(rows, 1)
    ]
    return RF2 + "".join(lines)


def command(*arguments, **more):
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    run = [sys.executable, "-m", "medgemma_tui", "terms", *arguments]
    return subprocess.run(run, capture_output=True, text=True, env=environment, **more)


# --- lookup ---


def test_lookup_prints_the_standard_term_with_both_codes():
    done = command("lookup", "心梗")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "心梗 → 急性心肌梗死 · Acute myocardial infarction · ICD-11 BA41.Z · ICD-10 I21.9\n"


def test_lookup_says_what_is_negated_or_a_relatives(capsys):
    i18n.set_language("en")
    assert terms.lookup("否认心梗史，父亲有房颤", as_json=False) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" · negated")
    assert second.endswith(" · of a relative")


def test_lookup_as_json(capsys):
    assert terms.lookup("否认心梗", as_json=True) == 0
    (term,) = json.loads(capsys.readouterr().out)
    assert term == {
        "text": "心梗", "standard_zh": "急性心肌梗死", "standard_en": "Acute myocardial infarction", "icd11": "BA41.Z",
        "icd10": "I21.9", "negated": True, "relative": False, "other": [], "span": [2, 4],
    }  # fmt: skip


def test_json_is_utf_8_in_every_locale():
    run = [sys.executable, "-m", "medgemma_tui", "terms", "lookup", "--json", "心梗"]
    for encoding in ("gbk", "ascii"):
        done = subprocess.run(run, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=True)
        assert json.loads(done.stdout.decode("utf-8"))[0]["standard_zh"] == "急性心肌梗死"


def test_lookup_of_nothing_known():
    done = command("lookup", "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "No known term in this text.\n"
    done = command("lookup", "hello", "--json", "--lang", "zh")
    assert (done.returncode, done.stdout) == (1, "[]\n")
    assert done.stderr == "文本中没有找到已知术语。\n"


def test_lookup_reads_standard_input():
    assert "BA41.Z" in command("lookup", "-", input="heart attack\n").stdout


def test_control_characters_of_a_text_do_not_reach_the_terminal(store, capsys):
    store(HEAD + "甲乙\t甲\ta\t\t\tS\t1\n")
    terms.lookup("heart attack \x1b[31m甲乙", as_json=False)
    assert "\x1b" not in capsys.readouterr().out


# --- import of a table ---


def test_an_imported_expression_is_found_with_its_codes(store, site):
    code, out, err = store(HEAD + "老胃痛\t慢性胃炎\tChronic gastritis\tDA42.Z\tK29.5\tLOCAL\tX1\n")
    assert (code, err) == (0, "")
    assert out == f"1 expression stored in {site}/terms-own.sqlite.\n"
    (term,) = find_terms("否认老胃痛")
    assert (term.standard_zh, term.icd11, term.icd10, term.other) == ("慢性胃炎", "DA42.Z", "K29.5", (("LOCAL", "X1"),))
    assert term.negated
    assert stat.S_IMODE((site / "terms-own.sqlite").stat().st_mode) == 0o640
    assert [path.name for path in site.iterdir()] == ["terms-own.sqlite"]  # nothing is left over


def test_columns_may_stand_in_any_order_with_a_mark_and_crlf(store):
    code, _, err = store(
        "\ufeffStandard_EN\tStandard_ZH\tExpression\r\n\ttest病\t甲乙丙\r\n\r\nsome thing\t\t丙乙甲\r\n"
    )
    assert (code, err) == (0, "")
    assert [(term.standard_zh, term.standard_en) for term in find_terms("甲乙丙，丙乙甲")] == [
        ("test病", "test病"), ("some thing", "some thing"),
    ]  # fmt: skip


def test_the_packaged_term_stands_and_gets_the_sites_code(store):
    store(HEAD + "心梗\t心肌梗塞（旧）\told\t\t\tSNOMED CT\t57054005\n")
    (term,) = find_terms("心梗")
    assert (term.standard_zh, term.icd11, term.other) == ("急性心肌梗死", "BA41.Z", (("SNOMED CT", "57054005"),))


def test_a_site_row_with_an_icd_code_of_its_own_stands(store):
    store(HEAD + "心梗\t急性心肌梗死（本院）\tMI\t\tI21.900x001\tLOCAL\t7\n")
    (term,) = find_terms("心梗")
    assert (term.standard_zh, term.icd11, term.icd10) == ("急性心肌梗死（本院）", "", "I21.900x001")


def test_the_longer_expression_counts_whoever_has_it(store):
    store(HEAD + "心梗后状态\t心肌梗死后\tpost-MI\t\t\t\t\n段抬高型\t段\tsegment\t\t\t\t\n")
    assert [term.standard_zh for term in find_terms("心梗后状态，急性ST段抬高型心梗")] == [
        "心肌梗死后",
        "急性ST段抬高型心肌梗死",
    ]


def test_it_is_not_found_inside_words_of_letters(store):
    store(HEAD + "qzv\t甲\ta\t\t\t\t\n")
    assert [term.span for term in find_terms("QZV aqzv qzvs ｑｚｖ qzv")] == [(0, 3), (14, 17), (18, 21)]


def test_a_code_without_a_system_is_of_the_table(store):
    store("expression\tstandard_zh\tstandard_en\tcode\n甲乙丙\t甲\ta\t9\n", name="ward3")
    assert find_terms("甲乙丙")[0].other == (("ward3", "9"),)


def test_two_tables_and_a_new_one_in_place_of_an_old(store):
    store(HEAD + "甲乙丙\t甲\ta\t\t\tA\t1\n", name="one")
    store(HEAD + "甲乙丙\t甲\ta\t\t\tB\t2\n", name="two")
    assert find_terms("甲乙丙")[0].other == (("A", "1"), ("B", "2"))
    store(HEAD + "丁戊己\t丁\td\t\t\t\t\n", name="one")
    assert [term.other for term in find_terms("甲乙丙，丁戊己")] == [(("B", "2"),), ()]


@pytest.mark.parametrize(
    ("rows", "line", "problem"),
    [
        ("甲乙\t甲\n", 2, "too few fields (2/7); fields are divided by tabs"),
        ("甲乙\t甲\ta\t\t\t\t\t\n", 2, "too many fields (8/7); a tab inside a field?"),
        ("甲乙,甲,a,,,,\n", 2, "too few fields (1/7); fields are divided by tabs"),
        ("\t甲\ta\t\t\t\t\n", 2, "expression is empty"),
        ("甲乙\t\t\t\t\t\t\n", 2, "'甲乙' has no standard term: standard_zh and standard_en are both empty"),
        ("甲\t甲\ta\t\t\t\t\n", 2, "the expression '甲' is a single sign, which would be found everywhere"),
        ("甲乙\t甲\ta\tI21.9\t\t\t\n", 2, "'I21.9' has not the form of an ICD-11 code"),
        ("甲乙\t甲\ta\t\tBA41.Z\t\t\n", 2, "'BA41.Z' has not the form of an ICD-10 code"),
        ("甲乙\t甲\x1b[31m\ta\t\t\t\t\n", 2, "standard_zh holds a control character or an invisible sign"),
        ('甲乙\t"甲"\ta\t\t\t\t\n', 2, "standard_zh is in quotation marks; leave them out"),
        (f"甲乙\t{'甲' * 251}\ta\t\t\t\t\n", 2, "standard_zh has more than 250 characters"),
        (
            "甲乙\t甲\ta\t\t\t\t\n\n甲 乙\t乙\tb\t\t\t\t\n甲乙\t丙\tc\t\t\t\t\n",
            5,
            "'甲乙' stands for something else in line 2",
        ),
        ("ＡＢ\t甲\ta\t\t\t\t\nab\t乙\tb\t\t\t\t\n", 3, "'ab' stands for something else in line 2"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_stored(store, site, rows, line, problem):
    code, out, err = store(HEAD + rows)
    assert (code, out) == (1, "")
    assert err == f"medgemma-tui: table.tsv:{line}: {problem}\nmedgemma-tui: Nothing was stored.\n"
    assert list(site.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"", 1, "the table has no rows"),
        (HEAD.encode(), 1, "the table has no rows"),
        (b"name\tterm\n", 1, "the first line names no columns known here"),
        (b"expression\tstandard_zh\n", 1, "the column 'standard_en' is missing"),
        (b"expression\tstandard_zh\tstandard_en\tnote\n", 1, "unknown column 'note'"),
        (b"expression\tstandard_zh\tstandard_en\tcode\tcode\n", 1, "the column 'code' is there twice"),
        ((HEAD + "甲乙\t甲\ta\t\t\t\t\n").encode("utf-16"), 1, "not UTF-8"),
        (HEAD.encode() + "甲乙\t甲\ta\t\t\t\t\n".encode("gb18030"), 2, "not UTF-8"),
        (HEAD.encode() + b"x" * 70_000, 2, "the line is too long"),
    ],
)
def test_an_unusable_file_is_told(store, site, content, line, problem):
    code, _, err = store(content)
    assert code == 1
    assert err.startswith(f"medgemma-tui: table.tsv:{line}: {problem}")
    assert err.endswith("Nothing was stored.\n") or "The rest was not read." in err
    assert list(site.iterdir()) == []


def test_all_wrong_lines_are_told_up_to_twenty(store):
    _, _, err = store(HEAD + "甲\t甲\ta\t\t\t\t\n" * 3)
    assert [line.split(":")[2] for line in err.splitlines()[:-1]] == ["2", "3", "4"]
    _, _, err = store(HEAD + "甲\t甲\ta\t\t\t\t\n" * 500)
    assert len(err.splitlines()) == 21
    assert err.endswith("Nothing was stored. The rest was not read.\n")


def test_a_refused_table_leaves_the_old_one(store):
    store(HEAD + "甲乙丙\t甲\ta\t\t\t\t\n")
    assert store(HEAD + "甲乙丙\t\t\t\t\t\t\n")[0] == 1
    assert find_terms("甲乙丙")


def test_the_same_row_twice_is_counted_and_no_problem(store):
    code, out, _ = store(HEAD + "甲乙丙\t甲\ta\t\t\t\t\n" * 3)
    assert code == 0
    assert out.splitlines()[1] == "2 came twice."


def test_a_name_is_checked_and_taken_from_the_file(site, tmp_path, capsys):
    path = tmp_path / "Our Terms (2024).TSV"
    path.write_text(HEAD + "甲乙丙\t甲\ta\t\t\t\t\n", encoding="utf-8")
    own = Settings(clinical_dir=site)
    assert terms.import_file(own, path, "../etc") == 2
    assert terms.import_file(own, path, "") == 2
    assert terms.import_file(own, path, None) == 0
    assert [each.name for each in site.iterdir()] == ["terms-our-terms-2024.sqlite"]


# --- SNOMED CT ---

INFARCTION = [
    ("22298006", "en", FULL, "Myocardial infarction (disorder)", 1),
    ("22298006", "en", SYNONYM, "Infarction of heart", 1),
    ("22298006", "zh", SYNONYM, "心肌的梗死", 1),
    ("22298006", "en", SYNONYM, "Retired wording here", 0),
    ("22298006", "en", SYNONYM, "Shared words", 1),
    ("999", "en", FULL, "Other thing of note (finding)", 1),
    ("999", "en", SYNONYM, "Shared words", 1),
    ("888", "en", FULL, "Removal of parts (procedure)", 1),
]


def test_snomed_descriptions_of_disorders_and_findings(store):
    code, out, err = store(rf2(*INFARCTION), name="sct")
    assert (code, err) == (0, "")
    assert out.startswith("4 expressions stored in ")
    text = "infarction of heart; 心肌的梗死; other thing of note; shared words; retired wording here; removal of parts"
    assert [(term.text, term.standard_zh, term.standard_en, term.other) for term in find_terms(text)] == [
        ("infarction of heart", "心肌的梗死", "Myocardial infarction", (("SNOMED CT", "22298006"),)),
        ("心肌的梗死", "心肌的梗死", "Myocardial infarction", (("SNOMED CT", "22298006"),)),
        ("other thing of note", "Other thing of note", "Other thing of note", (("SNOMED CT", "999"),)),
    ]


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (rf2(*INFARCTION).replace("\t1\t9\t999\t", "\tx\t9\t999\t"), 7, "active must be 0 or 1: 'x'"),
        (rf2(*INFARCTION).replace("\t888\t", "\tabc\t"), 9, "conceptid: abc: not a number"),
        (rf2(*INFARCTION) + "1\t2\t3\n", 10, "too few fields (3/9); fields are divided by tabs"),
        (rf2(("1", "en", SYNONYM, "", 1)), 2, "term is empty"),
        (RF2.replace("\tmoduleId", ""), 1, "the column 'moduleid' is missing"),
        (rf2(("1", "en", SYNONYM, "No full name", 1)), 1, "the table has no rows that can be used"),
    ],
)
def test_wrong_descriptions(store, site, content, line, problem):
    code, _, err = store(content)
    assert code == 1
    assert err.splitlines()[0] == f"medgemma-tui: table.tsv:{line}: {problem}"
    assert list(site.iterdir()) == []


# --- reading what was stored ---


def test_a_damaged_or_foreign_file_is_named(site):
    path = site / "terms-own.sqlite"
    path.write_bytes(b"no database")
    with pytest.raises(tables.TableError, match=r"terms-own\.sqlite: cannot be read"):
        find_terms("心梗")
    path.unlink()
    with sqlite3.connect(path) as database:
        database.executescript(
            "create table meta (key, value); insert into meta values ('version', '99'), ('longest', '1');"
            "create table filter (bits); insert into filter values (x'00');"
        )
    with pytest.raises(tables.TableError, match="another version"):
        find_terms("心梗")


def test_sixty_thousand_expressions_are_looked_up_in_milliseconds(site, tmp_path):
    source = tmp_path / "big.tsv"
    signs = "心肺肝肾胃肠脑急慢性病症炎瘤血管痛热左右上下综合征障碍感染损伤甲乙丙丁戊己庚辛"
    with source.open("w", encoding="utf-8") as lines:
        lines.write(HEAD)
        for n in range(60_000):
            written, rest = "", n
            while rest or len(written) < 3:
                rest, sign = divmod(rest, len(signs))
                written += signs[sign]
            lines.write(f"{written}{'综' * (len(written) % 2)}\t术语{n}\tterm {n}\t\t\tS\t{n}\n")
    site_import.import_table(source, site, "big")
    began = time.process_time()
    site_index.SiteIndex(site / "terms-big.sqlite")
    opened = time.process_time() - began
    (index,) = site_index.indexes()
    note = ("患者因突发胸痛2小时入院，急性心力衰竭，肺部感染，右上腹痛，肝肾功能损伤，慢性胃炎，查体未见异常。 " * 100)[
        :4000
    ]
    best = 9.0
    for _ in range(7):
        began = time.process_time()
        index.find(note)
        best = min(best, time.process_time() - began)
    assert opened < 0.2
    assert best < 0.03  # 6 ms on a quiet machine; the bound is for busy ones


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="甲乙ab C1，\n" + "Ａé\U00020000", max_size=40))
def test_the_index_finds_what_a_plain_search_finds(words_index, text):
    index, expressions = words_index
    folded = fold(text)
    wanted = set()
    for expression in expressions:
        start = folded.find(expression)
        while start >= 0:
            end = start + len(expression)
            inside = (start and is_word(folded[start]) and is_word(folded[start - 1])) or (
                end < len(folded) and is_word(folded[end - 1]) and is_word(folded[end])
            )
            if not inside:
                wanted.add((start, end))
            start = folded.find(expression, start + 1)
    assert {(match.start, match.end) for match in index.find(folded)} == wanted


@pytest.fixture(scope="module")
def words_index(tmp_path_factory):
    expressions = ["甲乙", "乙甲", "甲乙甲乙", "ab", "a b", "abab", "c1", "甲a", "b，a", "é甲", "\U00020000甲", "1，1"]
    folded = [site_index.key_of(each) for each in expressions]
    directory = tmp_path_factory.mktemp("words")
    source = directory / "t.tsv"
    source.write_text(
        HEAD + "".join(f"{each}\t{n}号\tn{n}\t\t\t\t\n" for n, each in enumerate(expressions)), encoding="utf-8"
    )
    site_import.import_table(source, directory, "words")
    return site_index.SiteIndex(directory / "terms-words.sqlite"), folded


# --- where ---


def test_the_order_of_places(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(site_lists, "SITE_DIRECTORY", tmp_path / "etc")
    own = tmp_path / "own"
    assert site_lists.directory(Settings(clinical_dir=own)) == own
    assert site_lists.writable_directory(Settings(clinical_dir=own)) == own
    user = tmp_path / "data" / "medgemma" / "clinical"
    assert site_lists.directory(Settings()) is None
    assert site_lists.writable_directory(Settings()) == user
    user.mkdir(parents=True)
    assert site_lists.directory(Settings()) == user
    (tmp_path / "etc").mkdir()
    assert site_lists.directory(Settings()) == site_lists.writable_directory(Settings()) == tmp_path / "etc"


def test_a_user_without_a_home_has_no_directory(monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", "~")  # what is left where neither HOME nor the user's entry says anything
    assert not site_lists.user_directory().is_dir()
    assert site_lists.user_directory().is_absolute()


def test_import_and_lookup_meet_in_the_users_directory(tmp_path):
    source = tmp_path / "t.tsv"
    source.write_text(HEAD + "甲乙丙\t某病\tillness\t\t\tL\t1\n", encoding="utf-8")
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"), "LC_ALL": "C.UTF-8"}
    run = [sys.executable, "-m", "medgemma_tui", "terms"]
    if site_lists.SITE_DIRECTORY.is_dir():
        pytest.skip("this machine has lists of its own")
    done = subprocess.run([*run, "import", str(source)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([*run, "lookup", "甲乙丙"], env=environment, capture_output=True, text=True)
    assert done.stdout == "甲乙丙 → 某病 · illness · L 1\n"


def test_a_file_that_is_not_there_is_told(tmp_path):
    done = command("import", str(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr == f"medgemma-tui: {tmp_path}/none: No such file or directory\n"


def test_progress_is_told_on_a_terminal_only(tmp_path):
    source = tmp_path / "t.tsv"
    source.write_text(HEAD + "".join(f"甲乙{n}\t某病\tillness\t\t\t\t\n" for n in range(21_000)), encoding="utf-8")
    environment = {**os.environ, "MEDGEMMA_CLINICAL_DIR": str(tmp_path / "c"), "LC_ALL": "C.UTF-8"}
    run = [sys.executable, "-m", "medgemma_tui", "terms", "import", str(source)]
    quiet = subprocess.run(run, env=environment, capture_output=True, text=True)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    main, other = pty.openpty()
    with subprocess.Popen(run, env=environment, stderr=other, stdout=subprocess.DEVNULL) as program:
        os.close(other)
        seen = b""
        while select.select([main], [], [], 30)[0]:
            try:
                seen += os.read(main, 4096)
            except OSError:
                break
        assert program.wait() == 0
    os.close(main)
    assert b"\r20,000 lines checked" in seen


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("x")
    source = tmp_path / "t.tsv"
    source.write_text(HEAD + "甲乙丙\t某病\tillness\t\t\t\t\n", encoding="utf-8")
    environment = {**os.environ, "MEDGEMMA_CLINICAL_DIR": str(blocked / "c"), "LC_ALL": "C.UTF-8"}
    run = [sys.executable, "-m", "medgemma_tui", "terms", "import", str(source)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"medgemma-tui: {blocked}")
    assert Path(source).exists()
