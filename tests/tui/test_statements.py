"""The statements, the system screen and the ledger, from what the service tells."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from itertools import product

import pytest

from medgemma_tui import i18n
from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.health import wording
from medgemma_tui.i18n import _
from medgemma_tui.protocol import (
    Fitness,
    GpuProcess,
    GpuSample,
    Health,
    ModelCard,
    PrivacyFacts,
    ProcessSeal,
    ServiceSample,
    Telemetry,
    TokenizeReply,
)
from medgemma_tui.tui import profile, statements
from medgemma_tui.tui.conversation import Conversation, Turn
from medgemma_tui.tui.ledger import Ledger, mark_left
from medgemma_tui.tui.statements import Link
from medgemma_tui.tui.system_text import system_text
from medgemma_tui.tui.widgets.status_bar import StatusBar

L4 = {"index": 0, "name": "NVIDIA L4", "memory_total": 24_152_899_584, "utilization": 3.0, "temperature": 50.0}
READY = Health(status="ok", reason="ready")
UP = Link(connected=True, health=READY, model=ModelCard(id="medgemma-1.5-4b-it", quantization="nf4", device="cuda:0"))


def down(reason, **more) -> Link:
    return Link(connected=True, health=Health(status="not_ready", reason=reason, **more))


def sample(**gpu) -> Telemetry:
    return Telemetry(time=1.0, gpus=[GpuSample(**{**L4, "throttle": [], **gpu})])


@pytest.mark.parametrize(
    ("telemetry", "level", "words"),
    [
        (sample(), "ok", "OK (NVIDIA L4, 22.5 GiB)"),
        (sample(throttle=["idle"]), "ok", "OK"),
        (sample(throttle=["sw_power_cap", "hw_thermal"]), "warn", "slowed: power limit"),
        (sample(throttle=["hw_thermal"]), "warn", "too hot"),
        (sample(throttle=None), "ok", "slowing not told"),
        (sample(ecc_uncorrected=2), "bad", "2 uncorrected"),
        (sample(error="GPU is lost", error_code="gpu_lost"), "bad", "the card is lost"),
        (sample(utilization=None, memory_total=None, temperature=None), "unknown", "tells no figures"),
        (Telemetry(time=1.0, nvml_error="x", nvml_error_code="driver_not_loaded"), "warn", "driver not loaded"),
        (Telemetry(time=1.0), "unknown", "not measured"),
        (Telemetry(time=1.0, nvml_error_code="timeout"), "unknown", "unknown (NVML does not answer)"),
        (Telemetry(time=1.0, nvml_error_code="no_permission"), "unknown", "unknown (NVML: no permission)"),
        (Telemetry(time=1.0, nvml_error_code="gpu_lost"), "bad", "failed: the card is lost"),
        (Telemetry(time=1.0, gpu_age_s=60.0, gpus=[GpuSample(**L4)]), "unknown", "60 s old"),
        (None, "unknown", "unknown"),
    ],
)
def test_the_gpu_statement(telemetry, level, words):
    said = statements.gpu(telemetry, UP)
    assert said.level == level
    assert words in said.text
    assert ("OK" in said.text) <= (level == "ok")


def test_of_several_cards_the_worst_is_told():
    two = Telemetry(
        time=1.0, gpus=[GpuSample(**L4, throttle=[]), GpuSample(**{**L4, "index": 1}, throttle=["hw_thermal"])]
    )
    said = statements.gpu(two, UP)
    assert said.text.startswith("2 cards, slowed")
    assert said.level == "warn"


def test_a_card_that_the_model_does_not_use_is_not_ok():
    telemetry = Telemetry(time=1.0, gpus=[GpuSample(**L4, throttle=[])])
    link = Link(connected=True, health=READY, model=ModelCard(id="m", device="cpu"))
    said = statements.gpu(telemetry, link)
    assert said.level == "warn"
    assert "CPU" in said.text
    assert statements.gpu(telemetry, UP).level == "ok"


def test_while_the_model_loads_nobody_says_where_it_runs():
    """The card of the model before, or the worker's plan, is not where a model runs now."""
    none = Telemetry(time=1.0, nvml_error="x", nvml_error_code="library_not_found")
    for reason in ("loading", "starting", "worker_lost"):
        link = Link(
            connected=True, health=Health(status="not_ready", reason=reason), model=ModelCard(id="m", device="cpu")
        )
        for telemetry in (none, sample()):
            assert "CPU" not in statements.gpu(telemetry, link).text
    assert "CPU" in statements.gpu(none, replace(UP, model=ModelCard(id="m", device="cpu"))).text


def test_old_figures_are_no_statement():
    now = sample().model_copy(update={"privacy": facts()})
    for said in (statements.gpu(now, UP, 20.0), statements.privacy(now, 0, UP, 20.0, SEALED)):
        assert said.level == "unknown"
        assert "20 s" in said.text
    assert statements.gpu(now, UP, 1.0).level == statements.privacy(now, 0, UP, 1.0, SEALED).level == "ok"


NOW = datetime(2026, 6, 24, 7, 1).timestamp()
VERDICTS = [
    ("ok", 1860.0), ("warning", 1860.0), ("unknown", 1860.0), ("critical", 1860.0), ("ok", 27 * 3600.0),
    ("warning", -500.0), ("critical", 27 * 3600.0),
]  # fmt: skip


def verdict(status, age_s):
    return Fitness(verdict=status, at=NOW - age_s, failing=[] if status == "ok" else ["gpu.memory", "model.files"])


def statements_of(bar):
    return re.split(r" [│|] ", bar)


@pytest.mark.parametrize(
    ("status", "age_s", "level", "short", "shortest"),
    [
        ("ok", 1860.0, "ok", "fit 06:30", "fit"),
        ("warning", 1860.0, "warn", "warning 06:30", "warning"),
        ("unknown", 1860.0, "unknown", "not known 06:30", "not known"),
        ("critical", 1860.0, "bad", "NOT FIT 06:30", "NOT FIT"),
        ("critical", 27 * 3600.0, "bad", "NOT FIT, old", "NOT FIT"),
        ("ok", 27 * 3600.0, "warn", "old", "old"),
        ("ok", -500.0, "warn", "clock wrong", "clock?"),
    ],
)
def test_the_verdict_with_its_time_and_old_where_it_tells_nothing_of_today(status, age_s, level, short, shortest):
    said = statements.fitness(verdict(status, age_s), UP, NOW)
    assert (said.level, said.brief, said.least) == (level, short, shortest)


def test_a_verdict_that_nobody_gave_is_unknown_and_a_word_from_before_is_none():
    assert statements.fitness(None, UP, NOW).level == "unknown"
    gone = statements.fitness(verdict("ok", 0.0), Link(connected=False, lost=True), NOW)
    assert (gone.level, gone.brief) == ("unknown", "unknown")


SEVERAL = [
    sample(), sample(throttle=["sw_power_cap"]), sample(throttle=["hw_slowdown"]), sample(error_code="reset_required"),
    sample(ecc_uncorrected=2), Telemetry(time=1.0, nvml_error_code="version_mismatch"), Telemetry(time=1.0),
    Telemetry(time=1.0, nvml_error_code="library_not_found"), Telemetry(time=1.0, gpu_age_s=60.0),
]  # fmt: skip
HEALTHS = [READY, *(down(reason, percent=43).health for reason in ("starting", "loading", "worker_lost", "failed"))]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("demo", [True, False])
def test_eighty_columns_cut_no_statement_whatever_the_states_are(lang, demo):
    i18n.set_language(lang)
    card = ModelCard(id="medgemma-1.5-4b-it", demo=demo, quantization="nf4", device="cpu")
    foreign = facts(worker=None, foreign_engine=True)
    told = [(0, facts()), (12, facts()), (None, facts()), (0, facts(NO_FILTER)), (0, facts(SWAP)), (0, foreign)]
    fits = [statements.fitness(each, UP, NOW) for each in (None, *(verdict(*each) for each in VERDICTS[1:4]))]
    for telemetry, health, (sockets, privacy), fit in product(SEVERAL, HEALTHS, told, fits):
        now = telemetry.model_copy(update={"privacy": privacy})
        link = Link(connected=True, health=health, model=card)
        widget = StatusBar(profile.choose("color", {}))
        private = statements.privacy(now, sockets, link, own_seal=SEALED)
        widget.show(statements.gpu(now, link), statements.model(link), private, fit)
        (line,) = widget.compose_lines(78)
        text = "".join(part for part, _ink in line)
        assert "…" not in text, text
        assert ("DEMO" in text) == demo
        if health.reason == "ready" and private.level == "ok":
            assert statements_of(text)[-1].startswith(_("{name}: {value}").format(name=_("Health"), value="")), text
            assert (wording.verdict_word("critical") in text) == (fit.level == "bad")


def test_an_nvml_without_a_driver_on_a_cpu_box():
    link = Link(connected=True, health=READY, model=ModelCard(id="m", device="cpu"))
    said = statements.gpu(Telemetry(time=1.0, nvml_error="x", nvml_error_code="library_not_found"), link)
    assert "CPU" in said.text
    assert said.brief == "none · CPU"


@pytest.mark.parametrize(
    ("link", "level", "words"),
    [
        (UP, "ok", "medgemma-1.5-4b-it loaded, nf4"),
        (Link(connected=False), "unknown", "starting"),
        (Link(connected=False, lost=True), "bad", "does not answer"),
        (down("loading", percent=43.2), "warn", "loading 43 %"),
        (down("out_of_memory"), "bad", "out of GPU memory"),
        (down("worker_lost"), "bad", "restarted"),
    ],
)
def test_the_model_statement(link, level, words):
    said = statements.model(link)
    assert said.level == level
    assert words in said.text


def test_the_demo_is_named_in_every_state_and_never_ok():
    for link in (
        Link(connected=False, demo=True),
        Link(connected=True, health=READY, model=ModelCard(id="d", demo=True, quantization="nf4")),
        Link(connected=True, demo=True, health=Health(status="not_ready", reason="loading", percent=1)),
    ):
        said = statements.model(link)
        assert said.text.startswith("DEMO, NOT MEDICAL")
        assert said.brief in ("DEMO · starting", "DEMO · loaded", "DEMO · loading 1 %")
        assert said.level != "ok"


SEALED = ProcessSeal(inet_sockets=0)


def facts(gateway=SEALED, worker=SEALED, sockets=(0, 0), **more) -> PrivacyFacts:
    return PrivacyFacts(
        gateway_inet_sockets=sockets[0], worker_inet_sockets=sockets[1], gateway=gateway, worker=worker, **more
    )


def seal(**lists) -> ProcessSeal:
    return ProcessSeal(inet_sockets=0, **lists)


PLAN = BudgetPlan(window=8192, instructions=0, card=0, history=0, draft=0, reserve=0)
NO_FILTER = seal(open=["seccomp", "tcp"], codes={"seccomp": "no_libseccomp"})
SWAP = seal(warnings=["swap"], codes={"swap": "swap_plain"})


@pytest.mark.parametrize(
    ("own", "sockets", "told", "pid", "level", "words"),
    [
        (SEALED, 0, facts(), 7, "ok", "sealed · local-only: 0 network sockets (screen, gateway, worker)"),
        (SEALED, 0, facts(worker=None, sockets=(0, None)), None, "ok", "0 network sockets (screen, gateway)"),
        (seal(absent=["network_namespace"]), 0, facts(), 7, "ok", "sealed · local-only"),  # the first layer holds
        (SEALED, 1, facts(), 7, "bad", "1 network sockets open"),
        (SEALED, 0, facts(sockets=(2, None)), 7, "bad", "2 network sockets"),
        (NO_FILTER, 0, facts(), 7, "bad", "not sealed · screen: no system call filter"),
        (SEALED, 0, facts(gateway=NO_FILTER), 7, "bad", "not sealed · gateway: no system call filter"),
        (SEALED, 0, facts(worker=NO_FILTER), 7, "bad", "not sealed · worker: no system call filter"),
        (SEALED, 0, facts(worker=seal(open=["brand_new"])), 7, "bad", "not sealed · worker: brand_new"),
        (None, 0, facts(gateway=NO_FILTER), 7, "bad", "not sealed · gateway"),  # known is known
        (SWAP, 0, facts(SWAP, SWAP), 7, "warn", "sealed, but swap is not encrypted (screen, gateway, worker)"),
        (SWAP, 0, facts(gateway=NO_FILTER), 7, "bad", "not sealed"),
        (seal(warnings=["swap"], codes={"swap": "unknown"}), 0, facts(), 7, "warn", "not everything could be measured"),
        (SEALED, 0, facts(sockets=(0, None)), 7, "unknown", "not every process"),
        (SEALED, None, facts(), 7, "unknown", "not every process"),
        (None, 0, facts(), 7, "unknown", "not every process"),
        (SEALED, 0, facts(gateway=None), 7, "unknown", "not every process"),  # an older gateway does not tell
        (SEALED, 0, facts(worker=None), 7, "unknown", "not every process"),
        (SWAP, 0, facts(worker=None), 7, "unknown", "not every process"),
        (SEALED, 0, facts(worker=None, foreign_engine=True), None, "warn", "not ours to seal (screen, gateway)"),
        (SEALED, 0, facts(NO_FILTER, None, foreign_engine=True), None, "bad", "not sealed · gateway"),
    ],
)
def test_the_privacy_statement(own, sockets, told, pid, level, words):
    telemetry = Telemetry(time=1.0, privacy=told, service=ServiceSample(worker_pid=pid))
    said = statements.privacy(telemetry, sockets, UP, own_seal=own)
    assert words in said.text
    assert said.level == level
    assert ("local-only" in said.text) <= (level == "ok")


def test_the_system_screen_tells_each_process_and_why_something_is_not_shut():
    bare = seal(absent=["network_namespace"], codes={"network_namespace": "not_wanted"})
    telemetry = Telemetry(time=1.0, privacy=facts(gateway=NO_FILTER, worker=SWAP, sockets=(0, 3)))
    text = system_text(telemetry, 0, UP, "/run/x.sock", PLAN, own_seal=bare)
    rows = text[text.index("Privacy") :].splitlines()
    assert rows[1:4] == [
        "  Screen: sealed · network sockets: 0",
        "  Gateway: not sealed · network sockets: 0",
        "  Worker: sealed, with a warning · network sockets: 3",
    ]
    assert rows[4].startswith("  Not shut (gateway): The system call filter is not in force")
    assert "libseccomp2" in rows[4]
    assert rows[5].startswith("  Not shut (gateway): A socket that leads out of this box could be opened (tcp)")
    assert rows[6].startswith("  Warning (worker): The system may write memory")
    assert rows[7].startswith("  Not to be had here (screen): This process is not in an empty network namespace.")
    foreign = Telemetry(time=1.0, privacy=facts(worker=None, foreign_engine=True))
    assert "Worker: Another program answers" in system_text(foreign, 0, UP, "x", PLAN)
    assert "Gateway: n/a" in system_text(None, 0, UP, "x", PLAN)


def test_the_system_screen_says_na_for_what_nobody_told_and_makes_names_safe():
    gpu = GpuSample(
        index=0, name="bad\x1b[2Jname",
        processes=[
            GpuProcess(pid=9, user="a\nb", command="c\u202ed", used_bytes=2**30),
            GpuProcess(pid=0, used_bytes=2**29, together=3),
        ],
    )  # fmt: skip
    plan = BudgetPlan(window=8192, instructions=210, card=330, history=1200, draft=90, reserve=2048, dropped_turns=3)
    text = system_text(Telemetry(time=1.0, gpus=[gpu]), None, UP, "/run/x.sock", plan, age_s=20.0)
    assert "Age: 20 s" in text
    assert "Taken: 3,878 of 8,192 tokens, 47 %" in text
    for row in ("rules: 210", "card: 330", "history: 1,200", "draft: 90", "reserve: 2,048", "Turns no longer sent: 3"):
        assert f"\n  {row}" in text
    assert "Load: n/a" in text
    assert "Temperature: n/a, slows at n/a" in text
    assert "Process 9: 1.0 GiB · a b · cd" in text
    assert "3 other processes: 0.5 GiB" in text  # of a service whose ops this reader is not
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "Screen: n/a · network sockets: n/a" in text


def turn(question: str, answer: str) -> Turn:
    made = Turn(question, datetime(2026, 1, 1))
    made.answer = answer
    made.end()
    return made


class Tokenizer:
    """Counts a token a letter, four for each message's frame and two for the opening of the answer."""

    def count(self, request):
        counts = [len(message.text) + (4 if message.role != "system" else 2) for message in request.messages]
        return TokenizeReply(
            count=sum(counts) + 2, max_model_len=1000, message_counts=counts, generation_prompt_tokens=2
        )


def settle(ledger, conversation, instructions, draft):
    rounds = 0
    while (wanted := ledger.request(conversation, instructions, draft)) is not None:
        ledger.take(wanted[0], Tokenizer().count(wanted[1]))
        rounds += 1
        assert rounds < 5
    return ledger.plan(conversation, instructions, draft)


def test_the_ledger_adds_up_to_what_the_whole_prompt_counts():
    ledger, conversation = Ledger(most=2048), Conversation([turn("q" * 10, "a" * 20), turn("r", "b")], card="card")
    assert not ledger.plan(conversation, "rules", "draft").exact
    plan = settle(ledger, conversation, "rules", "draft")
    assert plan.exact
    from medgemma_tui.protocol import ChatRequest

    whole = Tokenizer().count(ChatRequest(messages=conversation.messages("rules", "draft")))
    assert plan.used == whole.count
    assert plan.card == len("\n\nPatient: card")
    assert plan.reserve == 500  # half of a small window
    assert settle(ledger, conversation, "rules", "draft") == plan  # nothing more to count


def test_what_is_asked_for_is_not_asked_again_and_any_answer_counts():
    ledger, conversation = Ledger(most=100), Conversation()
    settle(ledger, conversation, "rules", "")
    first = ledger.request(conversation, "rules", "one")
    assert ledger.request(conversation, "rules", "one") is None
    assert not ledger.settled(conversation, "rules", "one")
    second = ledger.request(conversation, "rules", "four")
    ledger.take(first[0], Tokenizer().count(first[1]))
    assert ledger.plan(conversation, "rules", "one").exact
    assert ledger.request(conversation, "rules", "four") is None  # still under way
    ledger.take(second[0], Tokenizer().count(second[1]))
    assert ledger.settled(conversation, "rules", "four")
    assert ledger.plan(conversation, "rules", "four").draft == 4


def test_a_count_that_failed_is_asked_for_again():
    ledger, conversation = Ledger(most=100), Conversation()
    ticket, _request = ledger.request(conversation, "rules", "one")
    ledger.take(ticket, None)
    assert ledger.request(conversation, "rules", "one") is not None


def test_an_engine_that_does_not_count_by_message_ends_the_counting():
    ledger, conversation = Ledger(most=100), Conversation()
    ticket, _request = ledger.request(conversation, "rules", "one")
    ledger.take(ticket, TokenizeReply(count=5, max_model_len=4096))
    assert ledger.request(conversation, "rules", "one") is None
    plan = ledger.plan(conversation, "rules", "one")
    assert (plan.window, plan.exact) == (4096, False)


def test_turns_that_left_are_marked_and_come_back_when_there_is_room():
    conversation = Conversation([turn("a", "1"), turn("b", "2"), turn("c", "")])
    left = mark_left(conversation, 1)
    assert [each.question for each in left] == ["a"]
    assert mark_left(conversation, 1) == []
    assert [message.text for message in conversation.messages("", "d")] == ["b", "2", "d"]
    mark_left(conversation, 0)
    assert [message.text for message in conversation.messages("", "d")] == ["a", "1", "b", "2", "d"]
