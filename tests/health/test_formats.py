"""The four forms of a report: for people in two languages and widths, and for three kinds of program by their rules."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from medgemma_tui import i18n
from medgemma_tui.health import meanings, wording
from medgemma_tui.health.formats import json as as_json
from medgemma_tui.health.formats import nagios, prometheus, text
from medgemma_tui.health.formats.text import Style
from medgemma_tui.health.formats.view import View, without_report
from medgemma_tui.health.meanings import Meaning
from medgemma_tui.protocol import CheckResult, Figure, HealthReport, Item, worst
from medgemma_tui.tui.wrap import cells

HOSTILE = "\x1b]52;c;x\x07 a|b='c';9 \u202edrow\nMEDGEMMA OK - 'x'=1 \u2028龘" + "龘" * 40


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setitem(
        meanings.MEANINGS,
        "gpu.try",
        {
            "fine": Meaning("ok", "It is fine."),
            "hot": Meaning("warning", "The card is hot: {what}.", "Look at the fan of {what}."),
            "gone": Meaning("critical", "The card is gone ({what}).", "Put it back: {what}."),
        },
    )
    monkeypatch.setitem(meanings.ITEMS, "holder", meanings.Words("{command} holds 3 GiB.", "End {command}."))
    i18n.set_language("en")
    i18n.set_ascii(False)
    yield
    i18n.set_language("en")
    i18n.set_ascii(False)


def result(id_="gpu.try", status="ok", code="fine", **more):
    return CheckResult(id=id_, status=status, code=code, **more)


FIGURES = [
    Figure(name="temperature", value=83.5, unit="C", label="0", warning=80, critical=90),
    Figure(name="vram_free", value=3 * 2**30, unit="B", label="0", warning=4 * 2**30, critical=2**30, below=True),
    Figure(name="tokens_per_second", value=41.25, unit="tok/s", warning=28, below=True),
    Figure(name="disk_used", value=62.5, unit="%", label="/var/lib/my models", warning=90),
    Figure(name="clock", value=1410, unit="MHz"),
    Figure(name="power", value=68.2, unit="W"),
    Figure(name="age", value=0.25, unit="s"),
    Figure(name="events", value=0),
]


def report(*results, **more):
    fields = {
        "phase": "health", "started": 1_790_000_000.0, "seconds": 12.5, "version": "0.1.0", "box": "box-3",
        "demo": False, "verdict": worst([each.status for each in results]), "results": list(results),
    }  # fmt: skip
    return HealthReport(**{**fields, **more})


def broken(what="card 0"):
    return report(
        result("gpu.try", "critical", "gone", params={"what": what}, figures=FIGURES,
               items=[Item(code="holder", params={"command": what})]),
        result("gpu.other", "ok", "nobody_knows"),
        result("host.try_ram", "unknown", "failed", params={"error": what}),
        result("host.try_swap", "skipped", "no_card"),
        result("audit.try", "skipped", "no_service"),
        result("golden.try", "warning", "timeout", params={"seconds": "10"}),
    )  # fmt: skip


def printed(view, **style):
    return list(text.lines(view, Style(**style)))


# --- text ---


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("verbose", [False, True])
def test_no_line_is_wider_than_the_terminal_and_nothing_foreign_gets_through(lang, width, verbose):
    i18n.set_language(lang)
    lines = printed(View(broken(HOSTILE)), width=width, verbose=verbose)
    assert max(map(cells, lines)) <= width
    joined = "".join(lines)
    assert not any(bad in joined for bad in "\x1b\x07\u202e\n\u2028")
    assert joined.count("龘") == 41 * 5  # text, advice, the line under it and its advice, another check's error


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_verdict_is_the_first_line_and_the_last(lang):
    i18n.set_language(lang)
    lines = printed(View(broken()))
    assert lines[0] == lines[-1]
    assert {"en": "✗ box-3: NOT FIT", "zh": "✗ box-3"}[lang] in lines[0]
    assert printed(View(report(result())))[0].startswith("✓ box-3: fit" if lang == "en" else "✓ box-3")


def test_failures_are_told_with_their_advice_and_what_is_well_only_in_its_group():
    told = "\n".join(printed(View(broken()), width=100))
    assert "✗ CRITICAL  gpu.try: The card is gone (card 0)." in told
    assert "To do: Put it back: card 0." in told
    assert "- card 0 holds 3 GiB." in told
    assert "End card 0." in told
    assert "gpu.other" not in told
    assert "host.try_swap" not in told
    everything = "\n".join(printed(View(broken()), width=100, verbose=True))
    assert "gpu.other: nobody_knows" in everything
    assert "- not applicable  host.try_swap: There is no GPU to look at." in everything


def test_a_group_has_the_worst_status_of_its_checks():
    lines = printed(View(broken()))
    groups = {line.split("  ")[-1].strip(): line.split("  ")[0] for line in lines if line and line[0] in "✓!?✗-"}
    assert groups[f"{wording.group_title('gpu')} (2 checks)"] == "✗ CRITICAL"
    assert groups[f"{wording.group_title('host')} (1 check)"] == "? UNKNOWN"
    assert groups[wording.group_title("audit")] == "- not applicable"
    assert groups[f"{wording.group_title('golden')} (1 check)"] == "! WARNING"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_ascii_signs_for_a_terminal_that_has_no_others(lang):
    i18n.set_language(lang)
    i18n.set_ascii(True)
    lines = printed(View(broken()), ascii_only=True, verbose=True)
    assert lang == "zh" or all(line.isascii() for line in lines)
    assert not any(sign in line for line in lines for sign in "✓✗·…°")
    assert lines[0].startswith("x box-3")


def test_colours_are_asked_for_and_change_no_word():
    plain, coloured = printed(View(broken())), printed(View(broken()), colours=True)
    assert "\x1b[1;31m" in coloured[0]
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == plain


def test_a_part_of_the_checks_is_no_verdict_on_the_box():
    lines = printed(View(report(result(), partial=True)))
    assert lines[0] == "✓ box-3: of the checks asked for: ok · 1 ok"
    assert "no verdict about the box" in "\n".join(lines)


def test_the_demo_says_so_in_every_form_for_people():
    view = View(report(result(), demo=True))
    assert "DEMO, NOT MEDICAL" in printed(view)
    assert "DEMO, NOT MEDICAL" in nagios.line(view)


# --- a report that does not hold ---

STALE = "the last report is 31 hours old"


def test_an_old_report_is_unknown_in_every_form():
    view = View(report(result()), STALE)
    lines = printed(view, width=100)
    assert lines[0] == lines[-1] == f"? box-3: not known to be fit · 1 ok · {STALE}"
    assert nagios.line(view).startswith(f"MEDGEMMA UNKNOWN - not known to be fit; {STALE}; 1 ok")
    told = json.loads(as_json.document(view))
    assert (told["verdict"], told["remark"]) == ("unknown", STALE)
    assert samples(view)["medgemma_health_verdict", ()] == 3
    assert samples(view)["medgemma_health_timestamp_seconds", ()] == 1_790_000_000
    assert view.exit_code == 3


def test_no_report_is_unknown_in_every_form():
    view = without_report("There is no report yet.", "health", demo=False)
    assert "There is no report yet." in printed(view)[0]
    assert nagios.line(view) == "MEDGEMMA UNKNOWN - not known to be fit; There is no report yet.\n"
    assert json.loads(as_json.document(view))["verdict"] == "unknown"
    assert samples(view) == {("medgemma_health_verdict", ()): 3}
    assert view.exit_code == 3


# --- json ---


def test_json_is_the_report_with_words():
    view = View(broken())
    document = as_json.document(view)
    assert document.count("\n") == 1
    assert HealthReport.model_validate_json(document) == view.report
    told = json.loads(document)
    assert told["summary"] == "NOT FIT"
    first = told["results"][0]
    assert first["title"] == "gpu.try"
    assert first["summary"] == "The card is gone (card 0)."
    assert first["advice"] == "Put it back: card 0."
    assert first["lines"] == ["card 0 holds 3 GiB.", "End card 0."]


def test_json_prints_nothing_that_a_terminal_obeys():
    document = as_json.document(View(broken(HOSTILE)))
    assert not any(bad in document for bad in "\x1b\x07\x9b\u202e\u2028")
    assert json.loads(document)["results"][0]["params"]["what"] == HOSTILE


def test_the_schema_is_the_documented_one():
    """A change of the schema is seen: run with the file removed to write it anew, and tell those who read it."""
    kept = Path(__file__).with_name("report_schema.json")
    schema = json.dumps(
        {"report": HealthReport.model_json_schema(), "worded": as_json.WordedReport.model_json_schema()},
        indent=1, sort_keys=True,
    )  # fmt: skip
    if not kept.exists():
        kept.write_text(schema + "\n")
    assert json.loads(schema) == json.loads(kept.read_text())


# --- nagios: a reader of our own, by the plugin development guidelines ---

NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
RANGE = rf"@?(?:~:|{NUMBER}:)?(?:{NUMBER})?"
DATUM = re.compile(
    rf"'(?P<label>[^'=]+)'=(?P<value>{NUMBER})(?P<uom>us|ms|s|%|B|KB|MB|GB|TB|c|)"
    rf"(?:;(?P<warn>{RANGE})(?:;(?P<crit>{RANGE})(?:;(?P<min>{NUMBER})?(?:;(?P<max>{NUMBER})?)?)?)?)?$"
)


def read_nagios(line: str):
    """State, text, and figures by label. Every byte of the line is accounted for."""
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert len(line.encode()) <= 4096
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]", line[:-1])
    said, bar, performance = line[:-1].partition("|")
    assert "|" not in performance
    match = re.fullmatch(r"MEDGEMMA (OK|WARNING|CRITICAL|UNKNOWN) - (.+)", said)
    assert match, said
    data = {}
    for datum in re.findall(r"'[^']*'=\S*", performance) if bar else []:
        read = DATUM.match(datum)
        assert read, datum
        assert read["label"] not in data
        data[read["label"]] = read.groupdict()
    assert not bar or " ".join(re.findall(r"'[^']*'=\S*", performance)) == performance
    return match[1], match[2], data


def alerts(threshold: str | None, value: float) -> bool:
    """Whether a range raises an alert for a value, by the guidelines."""
    if not threshold:
        return False
    inside = threshold.startswith("@")
    low, colon, high = threshold.lstrip("@").rpartition(":")
    start = -math.inf if low == "~" else float(low) if colon else 0.0
    end = float(high) if high else math.inf
    return (start <= value <= end) is inside


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_nagios_line_is_read_by_the_guidelines(lang):
    i18n.set_language(lang)
    state, said, data = read_nagios(nagios.line(View(broken())))
    assert state == "CRITICAL"
    if lang == "en":
        assert said.startswith("NOT FIT; 1 critical, 1 unknown, 1 warning, 1 ok / gpu.try: The card is gone (card 0).")
    assert data["gpu.try.vram_free.0"]["value"] == str(3 * 2**30)
    assert data["gpu.try.vram_free.0"]["uom"] == "B"
    assert (data["gpu.try.vram_free.0"]["warn"], data["gpu.try.vram_free.0"]["crit"]) == (f"{4 * 2**30}:", f"{2**30}:")
    assert (data["gpu.try.temperature.0"]["value"], data["gpu.try.temperature.0"]["uom"]) == ("83.5", "")
    assert data["gpu.try.disk_used./var/lib/my_models"]["uom"] == "%"
    assert data["gpu.try.events"]["value"] == "0"
    assert len(data) == len(FIGURES)


def test_a_figure_has_the_same_name_whatever_else_was_measured():
    tokens = [Figure(name="answer_tokens", value=1)]
    one, two = result("golden.a", figures=tokens), result("golden.b", figures=tokens)
    assert set(read_nagios(nagios.line(View(report(one))))[2]) == {"golden.a.answer_tokens"}
    assert set(read_nagios(nagios.line(View(report(one, two))))[2]) == {
        "golden.a.answer_tokens", "golden.b.answer_tokens",
    }  # fmt: skip


def test_a_threshold_alerts_where_the_check_would():
    _state, _said, data = read_nagios(nagios.line(View(broken())))
    free, hot = data["gpu.try.vram_free.0"], data["gpu.try.temperature.0"]
    assert alerts(free["warn"], 3 * 2**30)
    assert not alerts(free["crit"], 3 * 2**30)
    assert alerts(free["crit"], 0)
    assert alerts(hot["warn"], 83.5)
    assert not alerts(hot["crit"], 83.5)
    assert not alerts(hot["warn"], -20)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_foreign_text_makes_another_line_or_a_figure_of_its_own(lang):
    i18n.set_language(lang)
    hostile = broken(HOSTILE).model_copy(update={"box": HOSTILE})
    first, second, *rest = hostile.results
    results = [
        first.model_copy(update={"figures": [*FIGURES, Figure(name="x", value=1, label=HOSTILE)]}),
        second.model_copy(update={"figures": [Figure(name="x", value=2, label=HOSTILE)]}),
        *rest,
    ]
    state, said, data = read_nagios(nagios.line(View(hostile.model_copy(update={"results": results}))))
    assert state == "CRITICAL"
    assert "|" not in said
    assert sum(datum["value"] in ("1", "2") for datum in data.values()) == 2  # of one name, by two checks
    assert not any(datum["value"] == "9" for datum in data.values())


def test_a_line_that_would_be_too_long_loses_the_figures_of_what_is_well_first():
    many = [Figure(name=f"figure_{n}", value=n, unit="B", label="x" * 20, warning=1e12) for n in range(60)]
    last = Figure(name="the_failing_one", value=1)
    results = [result("gpu.try", figures=many), result("host.x", "critical", "failed", params={"error": "龘" * 3000},
                                                       figures=[last])]  # fmt: skip
    _state, said, data = read_nagios(nagios.line(View(report(*results))))
    assert said.endswith("...")
    assert "host.x.the_failing_one" in data
    assert 0 < len(data) < 61


@given(
    what=st.text(max_size=200),
    value=st.floats(allow_nan=False, allow_infinity=False, width=32),
    unit=st.sampled_from(["", "B", "s", "%", "C", "W", "MHz", "tok/s"]),
    below=st.booleans(),
)
def test_any_text_and_number_give_a_line_and_a_file_that_can_be_read(what, value, unit, below):
    figure = Figure(name="x", value=value, unit=unit, label=what[:30], warning=value / 3, below=below)
    view = View(report(result("gpu.x", "warning", "failed", params={"error": what}, figures=[figure])))
    _state, _said, data = read_nagios(nagios.line(view))
    assert [float(datum["value"]) for datum in data.values()] == [pytest.approx(value, abs=1e-6)]
    assert len(samples(view)) == 8


# --- prometheus ---


def samples(view):
    families = text_string_to_metric_families(prometheus.text(view))
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_prometheus_file_is_read_by_its_own_parser():
    found = samples(View(broken()))
    status = {labels: value for (name, labels), value in found.items() if name == "medgemma_health_status"}
    assert status == {
        (("check", "gpu.try"), ("group", "gpu")): 2,
        (("check", "gpu.other"), ("group", "gpu")): 0,
        (("check", "host.try_ram"), ("group", "host")): 3,
        (("check", "golden.try"), ("group", "golden")): 1,
    }  # what does not apply is left out
    assert found["medgemma_health_verdict", ()] == 2
    assert found["medgemma_health_timestamp_seconds", ()] == 1_790_000_000
    assert found["medgemma_health_duration_seconds", ()] == 12.5
    assert found["medgemma_health_partial", ()] == 0


def test_a_part_has_no_verdict_that_could_be_taken_for_the_boxs():
    found = samples(View(report(result("gpu.try", "ok"), partial=True)))
    assert found["medgemma_health_partial", ()] == 1
    assert ("medgemma_health_verdict", ()) not in found


@pytest.mark.parametrize(
    ("name", "label", "value"),
    [
        ("temperature_celsius", "0", 83.5),
        ("vram_free_bytes", "0", 3 * 2**30),
        ("tokens_per_second", "", 41.25),
        ("disk_used_ratio", "/var/lib/my models", 0.625),
        ("clock_hertz", "", 1.41e9),
        ("power_watts", "", 68.2),
        ("age_seconds", "", 0.25),
        ("events", "", 0),
    ],
)
def test_figures_are_in_base_units(name, label, value):
    found = samples(View(broken()))
    key = (f"medgemma_health_figure_{name}", (("check", "gpu.try"), ("label", label)))
    assert found[key] == pytest.approx(value)


def test_a_figure_cannot_take_the_name_of_another_metric():
    named = [Figure(name=name, value=7) for name in ("status", "verdict", "info", "duration_seconds")]
    found = samples(View(report(result(figures=named))))
    assert found["medgemma_health_verdict", ()] == 0
    assert sum(value == 7 for value in found.values()) == 4


def test_hostile_labels_stay_labels():
    found = samples(
        View(report(result(figures=[Figure(name="x", value=1, label='a"} 1\nmedgemma_health_verdict 0\\')])))
    )
    labels = [dict(labels)["label"] for name, labels in found if name == "medgemma_health_figure_x"]
    assert labels == ['a"} 1 medgemma_health_verdict 0\\']


def test_the_forms_take_no_time():
    """A report of many checks with many figures is no work: it is written while people wait."""
    results = [result(f"gpu.x{n}", "warning", "hot", params={"what": HOSTILE}, figures=FIGURES) for n in range(200)]
    view = View(report(*results))
    begun = time.process_time()
    for form in (nagios.line, prometheus.text, as_json.document, lambda each: printed(each, verbose=True)):
        assert form(view)
    assert time.process_time() - begun < 10
