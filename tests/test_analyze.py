"""``medgemma-tui analyze``: the fields it promises, spans that fit, a line of output for each line of input."""

from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medgemma_tui import analyze, i18n, site_start
from medgemma_tui.clinical import tables
from medgemma_tui.settings import Settings, SettingsError

Run = Callable[..., tuple[int, list[Any], str]]
QUESTION = "姓名：王小明，78岁男性，血压 1680/95，肌酐132，否认心梗史。正在服用利伐沙班15mg qd，是否需要调整剂量？"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command with ``--json``: its exit code, its objects, its stderr. ``stdin`` is what it reads with ``-``."""

    def run_it(text: str = "-", *, stdin: bytes = b"", trace: bool = False) -> tuple[int, list[Any], str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = analyze.run(text, as_json=True, trace=trace)
        out, err = capsys.readouterr()
        assert out.endswith("\n") or not out
        return int(code), [json.loads(line) for line in out.split("\n")[:-1]], err

    i18n.set_language("en")
    yield run_it
    i18n.set_language("en")


def test_every_field_is_there_and_of_its_type(run: Run) -> None:
    code, (found,), err = run(QUESTION)
    assert (code, err) == (0, "")
    assert list(found) == ["entities", "terms", "coach", "identifiers", "derived"]
    entity_types = {
        "kind": str, "text": str, "value": (float, str, type(None)), "unit": str, "span": list, "name": str,
        "comparator": str, "also": list, "implausible": bool, "negated": bool, "dose": (dict, type(None)),
        "route": str, "frequency": str,
    }  # fmt: skip
    for entity in found["entities"]:
        assert list(entity) == list(entity_types)
        assert all(isinstance(entity[name], kind) for name, kind in entity_types.items()), entity
    by_kind = {entity["kind"]: entity for entity in found["entities"]}
    assert by_kind["vital"]["implausible"] is True
    assert (by_kind["lab"]["name"], by_kind["lab"]["value"], by_kind["lab"]["unit"]) == ("creatinine", 132, "μmol/L")
    assert by_kind["lab"]["also"][0]["unit"] == "mg/dL"
    drug = by_kind["drug"]
    assert (drug["value"], drug["unit"], drug["frequency"]) == (15, "mg", "qd")  # a drug's value is its dose
    assert drug["dose"] == {"value": 15, "unit": "mg"}
    (term,) = [each for each in found["terms"] if each["text"] == "心梗"]
    assert term == {
        "text": "心梗", "standard_zh": "急性心肌梗死", "standard_en": term["standard_en"], "icd11": "BA41.Z",
        "icd10": "I21.9", "negated": True, "span": term["span"], "other": [], "relative": False,
    }  # fmt: skip
    assert found["identifiers"] == [{"kind": "name", "text": "王小明", "span": [3, 6], "mask": "[姓名]"}]
    assert {each["formula"] for each in found["derived"]} >= {"CKD-EPI 2021"}
    assert set(found["coach"]) == {"question_kind", "missing", "hint"}


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("感冒怎么治？", {"patient", "duration", "findings", "allergies"}),
        ("吃药要注意什么？", {"drug", "renal_function"}),
        ("癌症有哪些？", {"question"}),
        ("35岁女性，流涕+低热3天，血常规WBC 6.2×10⁹/L，无抗生素过敏史，如何经验性处理？", set()),
        ("结直肠癌TNM分期中，T4a与T4b的核心解剖学区别是什么？", set()),
        ("78岁男性，eGFR 28mL/min，正在服用利伐沙班15mg qd，是否需要调整剂量？", set()),
    ],
)
def test_what_a_question_lacks(run: Run, question: str, missing: set[str]) -> None:
    _code, (found,), _err = run(question)
    assert set(found["coach"]["missing"]) == missing
    assert bool(found["coach"]["hint"]) == bool(missing)


def test_the_hint_is_in_the_language_in_use(run: Run) -> None:
    i18n.set_language("zh")
    _code, (found,), _err = run("感冒怎么治？")
    assert found["coach"]["hint"].startswith("建议补充：患者（年龄、性别）")


_PIECES = st.sampled_from(
    ["心梗", "否认", "65岁", "男", "，", "。", " ", "K 41", "血压165/95", "肌酐 132μmol/L", "𠮷", "é", "😀", "\u202e",
     "\x1b[31m", "电话13812345678", "姓名：李雷", "CKD", "利伐沙班15mg qd", "Ｋ：４１", "\t", "MI", "a@b.cn", "\x85"]
)  # fmt: skip


@given(st.lists(_PIECES | st.text(max_size=6), max_size=14).map("".join))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spans_are_code_points_of_the_text_as_it_was_given(run: Run, text: str) -> None:
    if text == "-":
        return
    code, (found,), _err = run(text)
    assert code == 0
    for each in [*found["entities"], *found["terms"], *found["identifiers"]]:
        start, end = each["span"]
        assert text[start:end] == each["text"]


@given(st.binary(max_size=80))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_an_object_a_line(run: Run, data: bytes) -> None:
    lines = data.split(b"\n")
    code, found, err = run(stdin=data)
    assert (code, err) == (0, "")
    assert len(found) == len(lines) - (lines[-1] == b"")
    code, found, _err = run(stdin=data, trace=True)
    assert all(("steps" in each) != ("error" in each) for each in found)
    assert code == (2 if any("error" in each for each in found) else 0)


def test_lines_end_with_a_newline_and_with_nothing_else(run: Run) -> None:
    _code, found, _err = run(stdin="\ufeff心梗\r\n\n心\x0b梗\u2028x\x85 心梗\n心梗".encode())
    assert [[term["span"] for term in each["terms"]] for each in found] == [[[0, 2]], [], [[7, 9]], [[0, 2]]]
    assert found[1]["entities"] == []


def test_a_line_that_is_too_long_is_named_and_the_others_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 20_000
    monkeypatch.setattr(analyze, "LARGEST_BYTES", most)
    code, found, err = run(
        stdin=b"a" * most + b"\r\n" + b"b" * (most + 1) + b"\n" + b"c" * (3 * most) + "\n心梗".encode()
    )
    assert code == 2
    assert [next(iter(each)) for each in found] == ["entities", "error", "error", "entities"]
    assert found[1]["error"]["type"] == "too_large"
    assert found[1]["error"]["line"] == 2
    assert "20,000" in found[1]["error"]["message"]
    assert "line 2:" in err
    assert "line 3:" in err
    assert found[3]["terms"]


def test_what_a_terminal_would_obey_is_escaped(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    text = "患者姓名：王\u202e小明 \x9b31m"
    assert analyze.run(text, as_json=True, trace=False) == 0
    out = capsys.readouterr().out
    assert not {"\x9b", "\u202e", "\x1b"} & set(out)
    assert analyze.run("K 41\x1b[31m 否认心梗 \u202e", as_json=False, trace=False) == 0
    assert not {"\x9b", "\u202e", "\x1b"} & set(capsys.readouterr().out)


# --- replies ---

REPLY = {
    "question": "65岁男性，胸痛2小时，如何处理？",
    "reasoning": "1. 考虑急性冠脉综合征。\n2. 按 KDIGO 2012，可能需要复查。\n3. 糖化血红蛋白 7.2%。",
    "answer": "## 定义\n胸痛。\n## 建议\n阿司匹林 300 mg。",
}


def test_a_reply_is_cut_into_steps_with_marks(run: Run) -> None:
    code, (found,), err = run(json.dumps(REPLY), trace=True)
    assert (code, err) == (0, "")
    assert list(found) == ["steps", "answer_marks", "sections"]
    assert len(found["steps"]) == 3
    for step in found["steps"]:
        assert set(step) == {"text", "marks", "span"}
        start, end = step["span"]
        assert REPLY["reasoning"][start:end] == step["text"]
        for mark in step["marks"]:
            assert set(mark) == {"kind", "evidence", "span"}
    marks = [(mark["kind"], mark["evidence"]) for step in found["steps"] for mark in step["marks"]]
    assert ("guideline", "KDIGO 2012") in marks
    assert "method_missing" in {kind for kind, _evidence in marks}
    assert "300" in "".join(mark["evidence"] for mark in found["answer_marks"] if mark["kind"] == "unsupported_number")
    assert found["sections"]["present"] == ["definition", "recommendation"]
    assert found["sections"]["missing"] == ["mechanism", "differential"]


def test_the_trace_may_be_missing_and_other_fields_are_passed_over(run: Run) -> None:
    for more in ({}, {"reasoning": None}, {"reasoning": "", "usage": {"x": [1]}, "known": True}):
        code, (found,), _err = run(json.dumps({"question": "x", "answer": "y", **more}), trace=True)
        assert (code, found["steps"]) == (0, [])


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ('{"question": "x"', "not_json", "column 17"),
        ("心梗", "not_json", "column 1"),
        ('["x"]', "wrong_fields", "not a JSON object"),
        ('"x"', "wrong_fields", "not a JSON object"),
        ('{"question": "x"}', "wrong_fields", "answer is missing"),
        ('{"question": 1, "answer": "y"}', "wrong_fields", "question is not a text"),
        ('{"question": "x", "answer": null}', "wrong_fields", "answer is not a text"),
        ('{"question": "x", "answer": "y", "reasoning": []}', "wrong_fields", "reasoning is not a text"),
        ('{"a":' * 100_000, "not_json", "nested too deeply"),
        ("9" * 6000, "not_json", "too many digits"),
        ('{"question": ' + "9" * 6000 + ', "answer": "y"}', "not_json", "too many digits"),
    ],
)
def test_a_line_that_is_no_reply_is_told_with_its_number_and_the_others_go_on(
    run: Run, line: str, kind: str, said: str
) -> None:
    good = json.dumps(REPLY)
    code, found, err = run(stdin=f"{good}\n\n{line}\n{good}\n".encode(), trace=True)
    assert code == 2
    assert [next(iter(each)) for each in found] == ["steps", "error", "steps"]
    assert (found[1]["error"]["type"], found[1]["error"]["line"]) == (kind, 3)
    assert said in found[1]["error"]["message"]
    assert "line 3:" in err
    assert "Traceback" not in err


def test_one_reply_may_be_written_over_many_lines(run: Run) -> None:
    whole = run(json.dumps(REPLY), trace=True)
    for text in (json.dumps(REPLY, indent=2), "\n\n" + json.dumps(REPLY, indent=2, ensure_ascii=False) + "\n\n"):
        assert run(stdin=text.encode(), trace=True) == whole
    code, found, _err = run(stdin=b'{\n "question": "x",\n "answer": \n}\n', trace=True)
    assert (code, found[0]["error"]["line"]) == (2, 1)
    assert "line 4 of the object" in found[0]["error"]["message"]


def test_a_line_cut_short_spoils_no_other(run: Run) -> None:
    code, found, _err = run(stdin=b'{"question": "x",\n' + json.dumps(REPLY).encode() + b"\n", trace=True)
    assert code == 2
    assert [next(iter(each)) for each in found] == ["error", "steps"]


def test_half_a_character_is_no_crash(run: Run) -> None:
    code, (found,), _err = run('{"question": "x", "reasoning": "1. \\ud83d a", "answer": "b"}', trace=True)
    assert (code, found["steps"][0]["text"][-3:]) == (0, "\ufffd a")
    assert run("\udcff心梗")[1][0]["terms"][0]["span"] == [1, 3]


# --- the site's lists ---


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    tables.use_site_directory(None)


def test_a_sites_list_extends_the_packaged_one(run: Run, site: Path) -> None:
    (site / "identifiers.toml").write_text(
        'source = "house rule"\nreviewer = "nobody"\n[[label]]\nkind = "record_number"\nlabels = ["竹叶码"]\n'
    )
    text = "竹叶码：A88123，心梗"
    tables.use_site_directory(None)
    assert run(text)[1][0]["identifiers"] == []
    site_start.use_lists(Settings(clinical_dir=site))
    (found,) = run(text)[1]
    assert [each["kind"] for each in found["identifiers"]] == ["record_number"]
    assert found["terms"]


def test_a_directory_that_is_not_there_yet_is_no_error(site: Path) -> None:
    site_start.use_lists(Settings(clinical_dir=site / "not there"))


def test_a_file_in_the_place_of_the_directory_is_an_error(site: Path) -> None:
    (site / "file").write_text("")
    for directory in (site / "file", site / "file" / "below"):
        with pytest.raises(SettingsError, match="Not a directory"):
            site_start.use_lists(Settings(clinical_dir=directory))


def test_a_directory_in_the_place_of_a_list_is_an_error(site: Path) -> None:
    (site / "terms.toml").mkdir()
    with pytest.raises(SettingsError, match=r"terms\.toml: is a directory"):
        site_start.use_lists(Settings(clinical_dir=site))


_HEAD = 'source = "x"\nreviewer = "y"\n'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("terms-house.sqlite", b"no database", "cannot be read"),
        ("negation.toml", "[[cue", ""),
        ("identifiers.toml", '[[label]]\nkind = "name"\nlabels = ["x"]\n', "source is missing"),
        ("sections.toml", 'source = "x"\nreviewer = "y"\n[[section]]\nid = "frobnicate"\n', "frobnicate"),
        ("drugs.toml", b"\xff\xfe", "not UTF-8"),
        ("terms.toml", f"{_HEAD}a = {'[' * 100_000}", "nested too deeply"),
        ("terms.toml", f"{_HEAD}a = {'9' * 6000}", "digits"),
        ("negation.toml", f'{_HEAD}cue = [{{ role = ["negates"], expressions = ["x"] }}]', "role"),
        ("coach.toml", f'{_HEAD}kind = [{{ id = "dosing", priority = 1, cues = ["a{{99999999999}}"] }}]', "regular"),
        ("coach.toml", f'{_HEAD}kind = [{{ id = "dosing", priority = 1, cues = ["{"(" * 3000}"] }}]', "regular"),
        (
            "labs.toml",
            f'{_HEAD}lab = [{{ id = "x", zh = "x", en = "x", units = [{{ unit = "g", factor = inf }}] }}]',
            "g",
        ),
        ("labs.toml", f'{_HEAD}lab = [{{ id = "x", zh = "x", en = "x", low = nan }}]', "low"),
    ],
)
def test_a_sites_list_that_cannot_be_used_is_named_before_anything_is_asked(
    site: Path, name: str, content: str | bytes, said: str
) -> None:
    (site / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError) as error:
        site_start.use_lists(Settings(clinical_dir=site))
    assert name in str(error.value)
    assert said in str(error.value)


# --- from outside ---


def test_a_line_is_answered_before_the_next_one_comes() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "medgemma_tui", "analyze", "--json", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("心梗", "", "K 41"):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            assert "entities" in json.loads(process.stdout.readline())
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def test_nothing_of_model_screen_or_service_is_loaded() -> None:
    code = (
        "import sys; sys.argv = ['medgemma-tui', 'analyze', '--json', '心梗']\n"
        "from medgemma_tui.cli import run\ncode = run()\n"
        "heavy = ('torch', 'transformers', 'textual', 'httpx', 'starlette', 'uvicorn')\n"
        "print(code, [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


def test_it_starts_at_once() -> None:
    def cpu_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    start = cpu_s()
    subprocess.run([sys.executable, "-m", "medgemma_tui", "analyze", "x"], capture_output=True, check=True)
    assert cpu_s() - start < 2.0  # 0.5 s where the machine has nothing else to do


def test_people_get_lines_in_their_language() -> None:
    command = [sys.executable, "-m", "medgemma_tui", "analyze", "--lang"]
    done = subprocess.run([*command, "zh", QUESTION], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "eGFR" in done.stdout
    assert "CKD-EPI 2021" in done.stdout
    assert "否认：心梗 → 急性心肌梗死 (ICD-11 BA41.Z ICD-10 I21.9)" in done.stdout
    assert "姓名" in done.stdout
    done = subprocess.run([*command, "en", "--trace", json.dumps(REPLY)], capture_output=True, text=True, timeout=60)
    assert "citation: KDIGO 2012" in done.stdout
    assert "Missing in this answer: Mechanism · Differential" in done.stdout
    done = subprocess.run([*command, "en", "--trace", "{}"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "question is missing" in done.stderr
