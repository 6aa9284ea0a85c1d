"""The README does what it says: its commands are run, its keys are the program's, its files exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, get_args

import pytest
from pydantic import BaseModel

from medgemma_tui import site_start
from medgemma_tui.analyze import LARGEST_BYTES
from medgemma_tui.ask import AskResult
from medgemma_tui.clinical import findings, tables
from medgemma_tui.clinical.abbreviations import expansions
from medgemma_tui.clinical.analysis import analyze
from medgemma_tui.clinical.causal import chain_from_answer
from medgemma_tui.clinical.filler import find_filler
from medgemma_tui.clinical.review import review
from medgemma_tui.clinical.sections import check
from medgemma_tui.clinical.site_terms import TSV_COLUMNS
from medgemma_tui.demo import corpus
from medgemma_tui.health import golden, meanings, registry
from medgemma_tui.protocol import CheckResult, Figure, HealthReport, Item, Status, analysis
from medgemma_tui.settings import Settings
from medgemma_tui.tui import keymap

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent


class Gateway(Protocol):
    """The session's gateway on the demo model."""

    socket: Path


def _commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_it_opens_with_the_two_commands() -> None:
    assert _commands()[:2] == ["make demo", "make test"]
    for target in ("demo:", "test:"):
        assert target in (ROOT / "Makefile").read_text()


def test_every_key_of_the_table_is_the_programs_and_none_is_missing() -> None:
    rows = re.findall(r"^\|([^|]+)\|([^|]*)\|([^|]+)\|$", README, re.M)
    told = {key.strip() for first, twin, _what in rows for key in (first, twin)} - {"key", ""}
    bound = {key for command in keymap.COMMANDS if command.place == "screen" for key in keymap.keys_of(command, {})}
    assert {key for key in told if key.startswith(("F", "Ctrl", "Esc"))} == bound


HEADLESS = ("medgemma-tui ask", "medgemma-tui analyze", "medgemma-tui terms lookup", "medgemma-tui locate")


@pytest.mark.engine
@pytest.mark.parametrize("line", [line for line in _commands() if line.startswith(HEADLESS)])
def test_commands_without_a_screen_run(line: str, gateway: Gateway) -> None:
    words = shlex.split(line.replace("--demo", f"--socket {gateway.socket}"))
    done = subprocess.run([str(BIN / words[0]), *words[1:]], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if " ask " in line:  # the demo's answer to a question that it does not know is wrong medicine
        assert corpus.is_known(words[-1], ())
    if "--json" in line:
        assert json.loads(done.stdout)["known"] is True


def test_commands_with_a_screen_or_a_service_are_understood() -> None:
    for line in _commands():
        if line.startswith("medgemma-tui") and not line.startswith(HEADLESS):
            words = shlex.split(line)
            helped = subprocess.run(
                [str(BIN / words[0]), *words[1:], "--help"], capture_output=True, text=True, timeout=30
            )
            assert helped.returncode == 0, helped.stderr
            for option in re.findall(r"--[a-z-]+", line):
                assert option in helped.stdout


def test_the_object_it_shows_is_what_analyze_prints() -> None:
    command, shown = re.search(r"```console\n\$ (.*?)\n(.*?)```", README, re.S).groups()  # type: ignore[union-attr]
    words = shlex.split(command)
    done = subprocess.run([str(BIN / words[0]), *words[1:]], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == json.loads(shown)


def test_every_field_and_id_of_the_json_is_told() -> None:
    told = set(re.findall(r"`([\w.\[\]]+)`", README[README.index("### analyze") : README.index("### Exit codes")]))
    ids = {
        each
        for kind in (
            findings.EntityKind, findings.QuestionKind, findings.MissingId, findings.IdentifierKind,
            findings.SectionId, findings.MarkKind,
        )
        for each in get_args(kind)
    }  # fmt: skip
    assert ids <= told
    names = {name.split(".")[-1].removesuffix("[]") for name in told}
    shown = set(re.findall(r'"(\w+)"', README)) | names
    for model in vars(analysis).values():
        if isinstance(model, type) and issubclass(model, BaseModel) and model is not BaseModel:
            assert set(model.model_fields) <= shown, model
    for field in AskResult.model_fields:
        assert f"`{field}`" in README, field


ROWS = re.findall(r"^\| `(\w+)\.toml` \|[^|]+\| `(.+)` \|$", README, re.M)
A_HEAD = 'source = "the house"\nreviewer = "nobody yet"\n'


def _entities(text: str) -> set[str]:
    return {each.text for each in analyze(text).entities}


def _terms(text: str) -> set[str]:
    return {each.text for each in analyze(text).terms}


FOUND: dict[str, Callable[[], bool]] = {
    "terms": lambda: "心口绞死病" in _terms("父母否认，本人有心口绞死病"),
    "terms_blocks": lambda: "心梗" not in _terms("在心梗随访门诊就诊"),
    "abbreviations": lambda: "胸痛危险病区" in {each.full for each in expansions("转入XWB观察。", "zh")},
    "drugs": lambda: "一号合剂" in " ".join(_entities("口服一号合剂")),
    "allergens": lambda: any("橡皮膏" in each for each in _entities("橡皮膏过敏")),
    "anatomy": lambda: "三号腔隙" in _entities("位于三号腔隙"),
    "findings": lambda: "帘幕征样改变" in _entities("可见帘幕征样改变"),
    "labs": lambda: "HIX 12 mg/L" in _entities("HIX 12 mg/L"),
    "vitals": lambda: "小腿围 30cm" in _entities("小腿围 30cm"),
    "units": lambda: any(each.unit == "mg/dL" for each in analyze("肌酐 1.2毫克每百毫升血").entities),
    "coach": lambda: analyze("青霉素打几管").coaching.question_kind == "dosing",
    "identifiers": lambda: [each.kind for each in analyze("竹叶码：A88123").identifiers] == ["record_number"],
    "negation": lambda: analyze("撇清心梗").terms[0].negated,
    "sections": lambda: check("## 下一步怎么走\n溶栓。").present == ("recommendation",),
    "guidelines": lambda: any(
        mark.kind == "guideline" for step in review("", "1. 按本院药事会 2023。", "").steps for mark in step.marks
    ),
    "hedges": lambda: any(
        mark.kind == "hedge" for step in review("", "1. 八成会好。", "").steps for mark in step.marks
    ),
    "review": lambda: any(
        mark.kind == "method_missing" for step in review("", "1. 复查院内指数。", "").steps for mark in step.marks
    ),
    "causal": lambda: chain_from_answer("## 机制\n斑块破裂随即招来血栓形成。") == ("斑块破裂", "血栓形成"),
    "filler": lambda: [each.text for each in find_filler("有劳各位老师，胸痛2小时。")] != [],
}


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_a_sites_row_is_read_and_counts(name: str, row: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.toml").write_text(A_HEAD + row, encoding="utf-8")
    try:
        tables.use_site_directory(None)
        assert not FOUND[name](), "the packaged list has it already"
        site_start.use_lists(Settings(clinical_dir=tmp_path))
        assert FOUND[name]()
    finally:
        tables.use_site_directory(None)


def test_the_columns_of_an_imported_table_are_told() -> None:
    told = re.search(r"a first line that names its columns \((.*?)\)", README, re.S)
    assert told is not None
    assert re.findall(r"`(\w+)`", told[1]) == list(TSV_COLUMNS)


def test_the_longest_line_is_told() -> None:
    assert f"{LARGEST_BYTES:,} bytes" in README


def test_every_packaged_list_is_in_the_table() -> None:
    packaged = {path.stem for path in (ROOT / "medgemma_tui" / "clinical" / "data").glob("*.toml")}
    told = {name for name, _row in ROWS}
    assert {name for name in packaged if not name.startswith("terms_")} <= told
    assert told - packaged == {"terms"}
    assert set(FOUND) == told


@pytest.mark.engine
def test_the_python_example_runs(gateway: Gateway) -> None:
    example = re.search(r"```python\n(.*?)```", README, re.S)
    assert example is not None
    code = example.group(1).replace("/tmp/medgemma.sock", str(gateway.socket))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    question = re.search(r'"content": "([^"]+)"', code)
    assert question is not None
    assert corpus.is_known(question[1], ())


HEALTH = README[README.index("### health") : README.index("### Exit codes")]


@pytest.mark.parametrize("line", [line for line in _commands() if line.startswith("medgemma-tui preflight")])
def test_preflight_runs(line: str) -> None:
    words = shlex.split(line)
    done = subprocess.run([str(BIN / words[0]), *words[1:]], capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1 where there is no GPU, or an untested system
    assert done.stdout.splitlines()[0] == done.stdout.splitlines()[-1], "the verdict comes first and last"


def test_every_field_and_group_of_a_health_report_is_told() -> None:
    told = set(re.findall(r"`([\w.]+)`", HEALTH))
    for model in (HealthReport, CheckResult, Figure, Item):
        assert set(model.model_fields) <= told, model
    assert {check.group for check in registry.CHECKS} <= told
    assert set(get_args(Status)) <= told
    assert {name for name in told if name.split(".")[0] in meanings.GROUP_TITLES and "." in name} <= registry.names()


def test_the_sites_golden_question_is_one(tmp_path: Path) -> None:
    file = tmp_path / "golden.toml"
    shown = re.search(r"```toml\n(\[\[question\]\]\n.*?)```", HEALTH, re.S)
    assert shown is not None
    file.write_text(shown[1], encoding="utf-8")
    (question,) = golden.load(file).question
    assert question.id == "inr_target"


def test_files_it_names_are_there() -> None:
    for name in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`((?:medgemma_tui|styles|tests|provisioning)/[\w/.]*)`", README):
        assert (ROOT / name).exists(), name
