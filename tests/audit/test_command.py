"""``medgemma-tui audit verify`` and ``audit show``, from outside."""

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from medgemma_tui import audit_command, audit_words, cli, i18n
from medgemma_tui.audit.record import Entry, Event, Record
from medgemma_tui.protocol import AuditFinding, AuditNote, AuditVerdict
from medgemma_tui.protocol.audit import AuditFindingKind, AuditNoteKind
from medgemma_tui.settings import Settings


def command(*arguments, **more):
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **more}
    run = [sys.executable, "-m", "medgemma_tui", "audit", *arguments]
    return subprocess.run(run, capture_output=True, text=True, env=environment)


@pytest.fixture
def filled(site):
    log = site.log()
    log.append([Entry("start", "ok", 990, "medgemma")])
    log.append([Entry("question", "ok", 1000, "李伟", "aa11bb22cc", counters={"characters": 40})])
    log.append([Entry("answer", "stop", 1000, "李伟", "aa11bb22cc", counters={"tokens": 120, "seconds": 3.5})])
    log.close()
    return site


def test_a_whole_log(filled):
    done = command("verify", "--dir", str(filled.directory), "--lang", "en")
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 records, 1 to 3" in done.stdout
    assert done.stdout.splitlines()[-1] == "Whole: every record is there, unaltered and in order."
    done = command("verify", "--dir", str(filled.directory), "--json")
    assert AuditVerdict.model_validate_json(done.stdout).whole


def test_an_altered_record_is_named_and_the_exit_code_is_1(filled):
    (path,) = filled.files()
    path.write_bytes(path.read_bytes().replace(b'"tokens":120', b'"tokens":121'))
    done = command("verify", "--dir", str(filled.directory), "--lang", "en")
    assert done.returncode == 1
    assert "! audit-000000000001.jsonl:3: Record 3 is altered" in done.stdout
    assert "NOT WHOLE" in done.stdout
    done = command("--lang", "zh", "verify", "--dir", str(filled.directory))
    assert "记录 3 被改动" in done.stdout


def test_an_empty_log_is_not_called_whole_and_advice_is_for_what_is_wrong():
    assert list(audit_words.verdict(AuditVerdict(whole=True)))[-1] == "Empty: there is nothing to check."
    for detail, advice in (("Permission denied", "auditors' group"), ("No such file or directory", "--dir")):
        assert advice in audit_words.finding(AuditFinding(kind="unreadable", file="x", detail=detail))


def test_the_wrong_key_is_told_as_such(filled, tmp_path):
    (tmp_path / "k").write_text("0" * 64)
    (tmp_path / "k").chmod(0o400)
    done = command("verify", "--dir", str(filled.directory), "--key", str(tmp_path / "k"), "--lang", "en")
    assert done.returncode == 1
    assert "not the key of this log" in done.stdout
    assert "NOT CHECKED" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "--since", "x"),
        ("show", "--event", "x"),
        ("show", "--csv", "--json"),
        ("nonsense",),
        ("verify", "-x"),
        (),
    ],
)
def test_wrong_usage(arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["medgemma-tui", "audit", *arguments])
    assert cli._command() == 2


def test_show_as_a_table_csv_and_json(filled, capsys):
    i18n.set_language("en")
    places = audit_command.named(filled.directory, None, None, Settings())
    everything = audit_command.wanted(None, None, None, [], None, None)
    assert audit_command.show(Settings(), places, everything, "table") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["number", "time", "who", "event", "outcome", "session", "counters"]

    def column_of(text, word):
        return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text[: text.index(word)])

    assert len({column_of(row, word) for row, word in zip(rows, ("start", "question", "answer"), strict=True)}) == 1
    answers = audit_command.wanted("2026-01-01", None, "李伟", ["answer"], "stop", "aa11")
    assert audit_command.show(Settings(), places, answers, "json") == 0
    assert [json.loads(each)["seq"] for each in capsys.readouterr().out.splitlines()] == [3]
    assert audit_command.show(Settings(), places, answers, "csv") == 0
    assert "seconds=3.5" in capsys.readouterr().out
    (path,) = filled.files()
    path.write_bytes(path.read_bytes() + b"nonsense\n")
    assert audit_command.show(Settings(), places, answers, "csv") == 1
    assert "1 line is no record" in capsys.readouterr().err


def test_a_log_that_is_not_there_or_not_for_us(filled, capsys, forked, tmp_path):
    i18n.set_language("en")
    everything = audit_command.wanted(None, None, None, [], None, None)
    nowhere = audit_command.named(tmp_path / "nowhere", None, None, Settings())
    assert audit_command.show(Settings(), nowhere, everything, "table") == 1
    assert "There is no audit log" in capsys.readouterr().err
    assert audit_command.verify(Settings(), nowhere, as_json=False) == 1
    assert "NOT CHECKED" in capsys.readouterr().out
    if os.geteuid() == 0:
        settings = Settings()
        places = audit_command.named(filled.directory, None, None, settings)

        def as_nobody():
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            codes = [audit_command.show(settings, places, everything, "json")]
            codes += [audit_command.verify(settings, places, as_json=True)]
            return json.dumps([*codes, capsys.readouterr()]).encode()

        shown, checked, (out, err) = json.loads(forked(as_nobody))
        assert (shown, checked) == (1, 1)
        assert "not for you to read" in err
        assert json.loads(out)["findings"][0]["kind"] == "unreadable"


def test_every_finding_and_note_has_its_sentence_in_both_languages():
    for language in ("en", "zh"):
        i18n.set_language(language)
        for kind in AuditFindingKind.__args__:
            found = AuditFinding(kind=kind, seq=5, last=7, file="audit-000000000001.jsonl", line=9, bytes=3, time="T")
            told = audit_words.finding(found)
            assert told.startswith("audit-000000000001.jsonl:9: ")
            assert "{" not in told
            assert language == "en" or any("\u4e00" <= c <= "\u9fff" for c in told)
        for kind in AuditNoteKind.__args__:
            for count in (1, 2):
                told = audit_words.note(AuditNote(kind=kind, count=count, seq=3))
                assert told
                assert "{" not in told
    i18n.set_language("en")


def test_the_readme_tells_every_field_event_and_finding():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    section = readme.split("### audit\n")[1].split("\n### ")[0]
    told = set(re.findall(r"`([a-z_]+)`", section))
    assert told >= {*Record.model_fields, *Event.__args__, *AuditFindingKind.__args__}


def test_a_service_that_does_not_answer_is_not_taken_for_another_log(tmp_path):
    done = command("verify", "--socket", str(tmp_path / "none.sock"), "--lang", "en")
    assert done.returncode == 5
    assert done.stdout == ""
    assert "does not answer" in done.stderr


@pytest.mark.engine
def test_the_running_service_is_asked(gateway):
    """Its owner may; who the service lets, is the gateway's to test."""
    done = command("verify", "--socket", str(gateway.socket), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert AuditVerdict.model_validate_json(done.stdout).records >= 1
    done = command("show", "--socket", str(gateway.socket), "--event", "start", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["event"] == "start"
