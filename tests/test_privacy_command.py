"""What ``medgemma-tui privacy`` prints, in lines of so many cells, in both languages."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from medgemma_tui import i18n, privacy_command
from medgemma_tui.privacy.watch import report_of
from medgemma_tui.protocol import Finding, Health, PrivacyReport, ProcessPrivacy, Verdict
from medgemma_tui.tui.wrap import cells


@pytest.fixture(autouse=True)
def english():
    i18n.set_language("en")
    yield
    i18n.set_language("en")


def finding(id_, verdict="shut", said="EPERM", code="", kind="probe", tried=""):
    return Finding(id=id_, kind=kind, tried=tried or f"{id_}()", said=said, verdict=verdict, code=code)


def process(name, *findings):
    return ProcessPrivacy(process=name, pid=4194303, findings=list(findings) or [finding("tcp")])


def told(report, health=None, width=80) -> str:
    printed = list(privacy_command.lines(report, health, width))
    assert max(map(cells, printed)) <= width
    return "\n".join(printed)


LONG = [
    finding("tcp6", "open", "EINPROGRESS", tried="socket(AF_INET6, SOCK_STREAM), connect(2001:db8::1 port 443)"),
    finding("network_namespace", "absent", "net:[4026531833], " + ", ".join(f"enp{n}s0f1np1" for n in range(9)),
            "not_wanted", "kernel", "/proc/self/ns/net, /proc/self/net/dev"),
    finding("resolver_varlink", "open", "ok", "resolver_socket", tried="connect(/run/systemd/resolve/io.systemd.Re)"),
    finding("swap", "warning", "/dev/" + "x" * 90, "swap_plain", "kernel", "/proc/swaps, memory.swap.max"),
    finding("seccomp", "open", "0, 0 filters", "no_libseccomp", "kernel", "/proc/self/status Seccomp"),
    finding("core_pattern", "unknown", "PermissionError", "", "kernel", "/proc/sys/kernel/core_pattern"),
    finding("odd", "open", "\x1b]52;c;x\x07\u202e" + "龘" * 60, tried="odd\x1b[2J\nthing"),
]  # fmt: skip


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 80, 110])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(lang, width):
    i18n.set_language(lang)
    report = report_of([process("screen", *LONG), process("gateway"), process("worker", *LONG[:3])], [])
    text = told(report, width=width)
    joined = text.replace("\n", "").replace(" ", "")
    for expected in ("SOCK_STREAM", "enp8s0f1np1", "4194303", "libseccomp2", "swapoff"):
        assert expected in joined
    assert text.count("龘") == 60
    assert not any(bad in text for bad in "\x1b\x07\u202e")


def test_the_columns_stand_below_one_another():
    rows = told(report_of([process("gateway", finding("tcp"), finding("数据报", said="不允许"))], [])).splitlines()
    assert rows[0] == "gateway, process 4194303"
    at = {cells(row[: row.index(word)]) for row, word in zip(rows[1:4], ("verdict", "shut", "shut"), strict=True)}
    assert len(at) == 1


def test_the_conclusion_counts_and_everything_not_shut_has_its_reason():
    text = told(report_of([process("screen"), process("gateway", *LONG), process("worker")], []), width=110)
    assert (
        "NOT everything is shut (screen, gateway, worker): 9 things tried and read, 4 open, 1 warning, 1 unknown."
        in (text.replace("\n", " "))
    )
    after = text[text.index("NOT everything") :].replace("\n  ", " ").splitlines()
    titles = [line.split(":")[0] for line in after if line.startswith("- ")]
    assert titles == [
        "- Open (gateway)", "- Open (gateway)", "- Open (gateway)", "- Open (gateway)", "- Unknown (gateway)",
        "- Warning (gateway)", "- A second layer that is not to be had here (gateway)",
    ]  # fmt: skip
    assert "seccomp" in next(line for line in after if line.startswith("- "))  # the cause before what comes of it


def test_all_shut_is_said_in_one_line_and_a_missing_second_layer_is_no_alarm():
    bare = process("gateway", finding("tcp"), LONG[1])
    text = told(report_of([process("screen"), bare, process("worker")], []))
    assert "\nEverything is shut (screen, gateway, worker): 4 things tried and read." in text
    assert "NOT" not in text
    assert "A second layer that is not to be had here (gateway)" in text


def test_who_could_not_be_asked_is_told_with_the_reason():
    alone = told(report_of([process("screen")], ["gateway", "worker"]))
    assert "2 processes not asked" in alone.replace("\n", " ")
    assert "- Not asked (gateway): It does not answer." in alone
    invalid = Health(status="not_ready", reason="model_invalid", code="missing", params={"path": "/srv/m"})
    text = told(report_of([process("screen"), process("gateway")], ["worker"]), invalid)
    assert "- Not asked (worker): There is no model directory /srv/m." in text
    foreign = told(report_of([process("screen"), process("gateway")], ["worker"], foreign_engine=True))
    assert "- Not asked (worker): Another program answers in the worker's place" in foreign


def test_every_field_and_verdict_is_in_the_readme():
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    section = readme[readme.index("### privacy") : readme.index("### Exit codes")]
    fields = {name for model in (PrivacyReport, ProcessPrivacy, Finding) for name in model.model_fields}
    for word in fields | set(get_args(Verdict)):
        assert f"`{word}`" in section or f"].{word}`" in section or f"`{word}[]`" in section, word
