"""The command line from outside: the real program, its stdout, its stderr, its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from gateway_running import short_directory

from medgemma_tui.demo import corpus

pytestmark = pytest.mark.e2e


class Gateway(Protocol):
    """The session's gateway on the demo model."""

    socket: Path


def run(
    *arguments: str, stdin: str = "", env: dict[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """The program with these arguments."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEDGEMMA_")}
    return subprocess.run(
        [sys.executable, "-m", "medgemma_tui", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**environment, "LANG": "en_US.UTF-8", **(env or {})},
    )


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a name short enough for sockets."""
    directory = short_directory()
    yield directory
    shutil.rmtree(directory)


def test_ask_answers_on_stdout_and_reasons_on_stderr(gateway: Gateway) -> None:
    done = run("ask", "--socket", str(gateway.socket), corpus.GFR_QUESTION)
    turn = corpus.find(corpus.GFR_QUESTION, ())
    assert turn is not None
    assert done.returncode == 0
    assert done.stdout.strip() == turn.answer
    assert turn.reasoning in done.stderr
    assert turn.reasoning not in done.stdout


def test_ask_json_is_one_object_with_every_field(gateway: Gateway) -> None:
    done = run("ask", "--json", "--socket", str(gateway.socket), corpus.GFR_QUESTION)
    assert done.returncode == 0
    assert done.stderr == ""
    told = json.loads(done.stdout)
    turn = corpus.find(corpus.GFR_QUESTION, ())
    assert turn is not None
    assert told["question"] == corpus.GFR_QUESTION
    assert (told["reasoning"], told["answer"]) == (turn.reasoning, turn.answer)
    assert (told["finish_reason"], told["demo"], told["known"]) == ("stop", True, True)
    usage = told["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] > 0
    assert usage["answer_tokens"] > 0
    assert usage["time_to_first_token"] > 0
    assert usage["tokens_per_second"] > 0


@contextlib.contextmanager
def service(tmp_path: Path, chat: bytes, silent: bool = False) -> Iterator[tuple[Path, list[str]]]:
    """A service that answers a question with these events and hangs up, or falls ``silent``; and what it was asked."""
    asked: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = self.rfile.readline().decode().split()
            if not head:
                return
            length = 0
            while (line := self.rfile.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            asked.append(" ".join(head[:2]))
            if head[1] == "/v1/models":
                body = b'{"data":[{"id":"m","demo":true}]}'
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
                )
            elif head[0] == "DELETE":
                self.wfile.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            else:
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + chat
                )
                if silent:
                    self.rfile.read(1)  # until it is hung up

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    path = tmp_path / "s.sock"
    with Server(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield path, asked
        finally:
            server.shutdown()


def events(*chunks: str) -> bytes:
    return "".join(f"data: {chunk}\n\n" for chunk in chunks).encode()


def delta(text: str = "", reasoning: str = "", finish: str = "") -> str:
    choice = {"delta": {"content": text, "reasoning": reasoning}, "finish_reason": finish or None}
    return json.dumps({"choices": [choice]})


LOST = '{"error":{"type":"worker_lost","message":"gone","code":"worker_lost"}}'


def test_a_reply_that_breaks_off_is_printed_as_far_as_it_came(short: Path) -> None:
    with service(short, events(delta(reasoning="why"), delta("half an"), delta(" answer"), LOST)) as (path, asked):
        done = run("ask", "--lang", "en", "--socket", str(path), "x")
        assert (done.returncode, done.stdout) == (5, "half an answer\n")
        assert "is being restarted" in done.stderr
        assert "DEMO, NOT MEDICAL" in done.stderr
        assert asked[-1] == "DELETE /v1/session?parked=keep"
        done = run("ask", "--json", "--lang", "en", "--socket", str(path), "x")
        told = json.loads(done.stdout)
        assert (told["error"]["type"], told["answer"], told["reasoning"]) == ("worker_lost", "half an answer", "why")


def test_an_interrupted_question_is_forgotten_by_the_service(short: Path) -> None:
    with service(short, events(delta("half")), silent=True) as (path, asked):
        process = subprocess.Popen(
            [sys.executable, "-m", "medgemma_tui", "ask", "--socket", str(path), "--lang", "en", "x"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while "GET /v1/models" not in asked and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, "half\n"), err
        assert "Stopped by you" in err
        assert "Traceback" not in err
        assert asked[-1] == "DELETE /v1/session?parked=keep"


@pytest.mark.parametrize(
    ("finish", "answer", "code", "said"),
    [
        ("stop", "yes", 0, "DEMO"),
        ("length", "yes, bu", 0, "may be incomplete"),
        ("length", "", 1, "There is no answer"),
        ("stop", " ", 1, "There is no answer"),
        ("repetition", "a a a", 1, "loop"),
        ("non_finite", "a", 1, "invalid"),
    ],
)
def test_an_answer_that_is_none_is_no_success(short: Path, finish: str, answer: str, code: int, said: str) -> None:
    with service(short, events(delta(answer), delta(finish=finish), "[DONE]")) as (path, _asked):
        done = run("ask", "--lang", "en", "--socket", str(path), "x")
        assert done.returncode == code, done.stderr
        assert said in done.stderr


def test_json_is_utf_8_in_every_locale(short: Path) -> None:
    with service(short, events(delta("血钾"), delta(finish="stop"), "[DONE]")) as (path, _asked):
        done = subprocess.run(
            [sys.executable, "-m", "medgemma_tui", "ask", "--json", "--socket", str(path), "x"],
            capture_output=True,
            timeout=60,
            env={**os.environ, "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        )
        assert json.loads(done.stdout.decode("utf-8"))["answer"] == "血钾"


PATIENT = "患者姓名：王小明，电话13812345678，65岁男性，心梗3天，肌酐132，如何治疗？"


def test_ask_json_carries_what_analyze_prints_for_its_question_and_its_reply(short: Path) -> None:
    chat = events(
        delta(reasoning="1. 按 KDIGO 2012，可能要复查。"), delta("用 300 mg。"), delta(finish="stop"), "[DONE]"
    )
    with service(short, chat) as (path, _asked):
        done = run("ask", "--json", "--lang", "zh", "--sections", "off", "--socket", str(path), PATIENT)
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert json.loads(run("analyze", "--json", "--lang", "zh", told["question"]).stdout) == told["analysis"]
    assert json.loads(run("analyze", "--json", "--trace", "-", stdin=done.stdout).stdout) == told["review"]
    assert [step["text"] for step in told["review"]["steps"]]
    assert [(each["role"], each["content"].split("\n\n")[0]) for each in told["messages"][1:]] == [("user", PATIENT)]
    assert told["messages"][1]["content"].endswith("心梗 = 急性心肌梗死")  # the model is told the standard term
    assert told["sections"] == []
    assert any(entity["value"] is None for entity in told["analysis"]["entities"])  # no key is left out


@pytest.mark.parametrize(
    ("policy", "code", "action", "sent"),
    [("warn", 0, "warned", True), ("mask", 0, "masked", True), ("block", 2, "blocked", False)],
)
def test_the_guard_does_what_the_policy_says(short: Path, policy: str, code: int, action: str, sent: bool) -> None:
    with service(short, events(delta("yes"), delta(finish="stop"), "[DONE]")) as (path, asked):
        options = ["--lang", "en", "--identifiers", policy, "--socket", str(path)]
        done = run("ask", "--json", *options, "-", stdin=PATIENT)
        assert done.returncode == code, done.stderr
        assert "This could tell who the patient is: name, phone number." in done.stderr
        assert "王小明" not in done.stderr
        assert any("chat" in each for each in asked) is sent
        told = json.loads(done.stdout)
        assert told["guard"] == {"action": action, "kinds": ["name", "phone"]}
        given = "".join(message["content"] for message in told["messages"])
        assert ("王小明" in given) is (policy == "warn")
        assert ("患者姓名：[姓名]，电话[电话]，65岁男性" in given) is (policy == "mask")
        assert told["question"] in given or not sent
        assert told.get("error", {}).get("type") == (None if sent else "identifiers")


def test_a_policy_may_come_from_the_sites_file(short: Path) -> None:
    config = short / "medgemma.toml"
    config.write_text('identifiers = "block"\n')
    with service(short, b"") as (path, asked):
        done = run("ask", "--socket", str(path), PATIENT, env={"MEDGEMMA_CONFIG": str(config)})
    assert (done.returncode, done.stdout) == (2, "")
    assert set(asked) <= {"POST /v1/events"}  # the audit log is told that the guard fired
    assert "Nothing was sent" in done.stderr


def test_four_parts_whatever_the_model_would_have_done(gateway: Gateway) -> None:
    for question, headings in (
        ("x", ["Definition", "Mechanism", "Differential", "Recommendation"]),
        ("血钾", ["定义", "机制", "鉴别", "建议"]),
    ):
        options = ["--lang", "en", "--socket", str(gateway.socket), "--max-tokens", "600"]
        told = json.loads(run("ask", "--json", "--sections", "always", *options, question).stdout)
        places = [told["answer"].index(heading) for heading in told["sections"]]
        assert places == sorted(places)
        assert all(found.startswith(wanted) for found, wanted in zip(told["sections"], headings, strict=True))
        assert told["review"]["sections"]["in_order"]
    assert (
        json.loads(run("ask", "--json", *options, corpus.GFR_QUESTION).stdout)["sections"] == []
    )  # a staging question


def test_ask_says_on_stderr_what_a_person_should_know(short: Path) -> None:
    chat = events(delta(reasoning="1. 按 KDIGO 2012。"), delta("## 定义\n心肌坏死。"), delta(finish="stop"), "[DONE]")
    with service(short, chat) as (path, _asked):
        options = ["--lang", "en", "--sections", "always", "--socket", str(path)]
        done = run("ask", *options, "感冒怎么治？")
        assert done.stdout == "## 定义\n心肌坏死。\n"
        for said in ("Consider adding: ", "标准术语：", "1 step · 1 citation", "Verify before use"):
            assert said in done.stderr
        assert "Missing in this answer: Mechanism · Differential · Recommendation" in done.stderr
        assert "Prescriptions" not in done.stderr
        assert "K 41: is this right?" in run("ask", *options, "血钾怎么办？K 41").stderr
        done = run("ask", *options, "请直接开一张阿莫西林的处方")
        assert "Prescriptions and records are the clinician's own" in done.stderr


def test_a_sites_list_that_cannot_be_used_is_named_before_anything_is_asked(short: Path) -> None:
    site = {"MEDGEMMA_CLINICAL_DIR": str(short)}
    placed = run("locate", env=site).stdout
    assert re.search(rf"^lists +{re.escape(str(short))}$", placed, re.M)
    (short / "negation.toml").write_text("[[cue")
    for command in (["ask", "--demo", "x"], ["--plain", "--demo"], ["analyze", "x"]):
        done = run(*command, env=site)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1
        assert str(short / "negation.toml") in done.stderr


def test_a_prompt_that_is_too_long_is_told_with_its_length(gateway: Gateway) -> None:
    done = run("ask", "--lang", "en", "--socket", str(gateway.socket), "-", stdin="血压 " * 20_000)
    assert done.returncode == 1
    assert re.search(r"is \d\d,\d{3} tokens long and the context window takes 8,191", done.stderr), done.stderr


def test_ask_reads_the_question_from_stdin_and_tells_that_the_demo_does_not_know_it(gateway: Gateway) -> None:
    done = run(
        "ask", "-", "--socket", str(gateway.socket), "--max-tokens", "64", stdin="what is the airspeed of a swallow"
    )
    assert done.returncode == 0
    assert "demo model only knows its own questions" in done.stderr


def test_a_question_in_another_encoding_is_no_crash(gateway: Gateway) -> None:
    for arguments in (
        ["ask", "--json", "--socket", str(gateway.socket), "-"],
        ["--plain", "--socket", str(gateway.socket)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "medgemma_tui", *arguments],
            input="血钾\n".encode("gbk") + b"\x00",
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr


def test_a_budget_of_reasoning_is_kept(gateway: Gateway) -> None:
    done = run("ask", "--json", "--thinking-budget", "10", "--socket", str(gateway.socket), corpus.GFR_QUESTION)
    usage = json.loads(done.stdout)["usage"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] <= 12
    assert usage["trace_closed"] == "budget"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ask", ""], 2, "no question"),
        (["ask", "--demo", "--model", "/tmp", "x"], 2, "exclude each other"),
        (["ask", "--demo", "--socket", "/tmp/x.sock", "x"], 2, "exclude each other"),
        (["ask", "--socket", "/nonexistent/gateway.sock", "x"], 5, "does not answer"),
        (["ask", "--thinking", "sometimes", "x"], 2, "thinking"),
        (["--profile", "sepia"], 2, "profile"),
        (["frobnicate"], 2, "frobnicate"),
        (["--plain", "ask", "x"], 2, "--plain is no option of ask"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(arguments: list[str], code: int, said: str) -> None:
    done = run(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_unknown_settings_are_errors_that_name_them(tmp_path: Path) -> None:
    config = tmp_path / "medgemma.toml"
    config.write_text('themee = "dark"\n')
    done = run("locate", env={"MEDGEMMA_CONFIG": str(config)})
    assert done.returncode == 2
    assert "themee" in done.stderr
    assert str(config) in done.stderr
    done = run("locate", env={"MEDGEMMA_COLOUR": "1"})
    assert done.returncode == 2
    assert "MEDGEMMA_COLOUR" in done.stderr


def test_a_missing_model_directory_is_named_and_exits_3(tmp_path: Path) -> None:
    done = run("ask", "--model", str(tmp_path / "nowhere"), "x")
    assert done.returncode == 3
    assert str(tmp_path / "nowhere") in done.stderr


def test_flags_win_and_the_working_directory_holds_no_code_of_ours(tmp_path: Path) -> None:
    (tmp_path / "medgemma_tui.py").write_text("import os; os._exit(9)\n")
    program = Path(sys.executable).with_name("medgemma-tui")  # unlike -m, it does not look into the directory itself
    done = subprocess.run(
        [program, "ask", "--model", "/nowhere/at/all", "x"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "MEDGEMMA_DEMO": "1", "MEDGEMMA_ENGINE_SOCKET": "/x", "LANG": "C.UTF-8"},
    )
    assert done.returncode == 3, done.stderr
    assert "/nowhere/at/all" in done.stderr


@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        ("ask - <&-", 2, "There is no question"),
        ("locate > /dev/full", 1, "medgemma-tui: No space left on device"),
        ("ask '' 2>&-", 2, ""),
        ("locate >&-", 0, ""),
        ("locate 2>&1 >&- | cat >&2", 0, ""),
    ],
)
def test_streams_that_are_closed_or_full_are_no_crash(shell: str, code: int, said: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m medgemma_tui {shell}"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == bool(said)
    assert said in done.stderr


def test_an_interruption_at_the_very_beginning_is_one(tmp_path: Path) -> None:
    """While the command line is imported, as a quick Ctrl+C comes."""
    code = "import sys, os, signal\nfrom medgemma_tui.__main__ import main\n"
    code += "sys.addaudithook(lambda name, what: name == 'import' and what[0] == 'typer' and os.kill(0, 2))\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, start_new_session=True)
    assert (done.returncode, done.stderr) == (130, b"")


def test_names_from_elsewhere_are_harmless(tmp_path: Path) -> None:
    done = run("locate", env={"MEDGEMMA_MODEL": "/m\x1b[31m"})
    assert "/m[31m" in done.stdout
    done = run("locate", env={"MEDGEMMA_A\x1b[31m": "1"})
    assert "MEDGEMMA_A[31m: no such setting" in done.stderr
    done = run("locate", env={"MEDGEMMA_ENGINE_SOCKET": "/tmp/vllm.sock"})
    assert "/tmp/vllm.sock" in done.stdout
    assert "demo" not in done.stdout.split("socket")[0]


@pytest.mark.parametrize("before", [True, False])
def test_options_count_before_the_command_too(tmp_path: Path, before: bool) -> None:
    options = ["--lang", "zh", "--model", str(tmp_path / "nowhere")]
    done = run(*(options if before else ()), "ask", *(() if before else options), "x")
    assert done.returncode == 3
    assert "没有模型目录" in done.stderr
    assert done.stdout == ""


def test_locate_names_every_place() -> None:
    done = run("locate")
    assert done.returncode == 0
    for name in ("config", "model", "socket", "lists", "instructions", "styles", "locales"):
        assert name in done.stdout


def test_plain_mode_answers_each_line_of_a_pipe(gateway: Gateway) -> None:
    done = run(
        "--plain", "--lang", "zh", "--socket", str(gateway.socket), stdin=corpus.GFR_QUESTION + "\n/trace\n/again\n"
    )
    turn = corpus.find(corpus.GFR_QUESTION, ())
    assert turn is not None
    assert done.returncode == 0
    assert done.stdout.count(turn.answer) == 2
    assert done.stdout.count(turn.reasoning) == 1  # hidden the second time
    assert "\x1b" not in done.stdout + done.stderr


def test_plain_mode_holds_a_question_that_tells_who_the_patient_is(short: Path) -> None:
    chat = events(delta(reasoning="1. 按 KDIGO 2012。"), delta("用 300 mg。"), delta(finish="stop"), "[DONE]")
    with service(short, chat) as (path, asked):
        options = ["--plain", "--lang", "en", "--socket", str(path)]
        done = run(*options, stdin=f"{PATIENT}\n")
        assert (done.returncode, done.stdout) == (2, "")
        assert "Not sent yet: /mask" in done.stderr
        assert not any("chat" in each for each in asked)
        assert run(*options, stdin="/mask\n/send\n/prompt\n").stderr.count("No question waits.") == 2


def test_plain_mode_masks_pins_the_card_and_shows_what_the_model_was_given(gateway: Gateway) -> None:
    lines = [
        PATIENT,
        "/mask",
        "/card",
        "/prompt",
        "/marks",
        "/card 姓名：李雷，eGFR 28",
        f"{corpus.GFR_QUESTION}",
        "/prompt",
    ]
    done = run("--plain", "--lang", "en", "--socket", str(gateway.socket), stdin="\n".join(lines) + "\n")
    assert done.returncode == 0, done.stderr
    assert "王小明" not in done.stdout + done.stderr
    assert "[user]\n患者姓名：[姓名]，电话[电话]，65岁男性" in done.stderr
    first, _card, second = done.stderr.partition("Patient card: 姓名：[姓名]，eGFR 28")
    assert "\n\n标准术语：心梗 = 急性心肌梗死" in first
    assert re.search(r"Patient card, sent with every question from now on: .*65岁.*肌酐 132 μmol/L", first)
    assert "[system]" in second
    assert "姓名：[姓名]，eGFR 28" in second.partition("[system]")[2]
    assert "李雷" not in done.stderr


def test_without_a_terminal_the_screen_says_what_to_use_instead() -> None:
    done = run("--demo", env={"TERM": "xterm"})
    assert done.returncode == 2
    assert "--plain" in done.stderr


def test_a_run_directory_that_others_can_open_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "medgemma").mkdir(mode=0o755)
    done = run("ask", "--demo", "x", env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert done.returncode == 2
    assert "not a private directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_flag_is_blamed_on_the_command_line() -> None:
    done = run("ask", "--max-tokens", "99999", "x")
    assert done.returncode == 2
    assert "command line: max_tokens" in done.stderr
