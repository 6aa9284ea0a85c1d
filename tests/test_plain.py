"""Plain mode says why nothing happened, and speaks one language."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from medgemma_tui import i18n, plain
from medgemma_tui.protocol import ChatChunk, ChatRequest, EventBody, Health, ModelCard, Telemetry, TokenizeReply
from medgemma_tui.settings import Settings


class Client:
    """A service that is ready, on a box without a driver."""

    async def health(self):
        return Health(status="ok", reason="ready")

    async def telemetry(self):
        yield Telemetry(time=1.0, nvml_error="NVML: library not found", nvml_error_code="library_not_found")


@pytest.mark.parametrize(
    ("line", "lang", "words"),
    [
        ("/nonsense now", "en", "There is no command /nonsense"),
        ("/again", "en", "There is no question yet."),
        ("/help", "en", "/status"),
        ("/status", "zh", "NVML：没有找到库"),
    ],
)
def test_a_command_that_can_do_nothing_says_why(line, lang, words, monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(plain, "_tell", lines.append)
    i18n.set_language(lang)
    try:
        with asyncio.Runner() as runner:
            plain._Session(Settings(demo=True), Client(), runner)._command(line)
    finally:
        i18n.set_language("en")
    told = "\n".join(lines)
    assert words in told
    assert "library not found" not in told


class Answering:
    """A service that counts nothing and answers each question with the same reply."""

    def __init__(self) -> None:
        self.asked: list[ChatRequest] = []
        self.events: list[EventBody] = []
        self.left = 0

    async def health(self) -> Health:
        return Health(status="ok", reason="ready", model=ModelCard(id="m"))

    async def telemetry(self) -> AsyncIterator[Telemetry]:
        yield Telemetry(time=1.0)

    async def note(self, event: EventBody) -> None:
        self.events.append(event)

    async def leave(self) -> None:
        self.left += 1

    async def tokenize(self, _request: object) -> TokenizeReply:
        return TokenizeReply(count=1, max_model_len=8192)

    async def forget(self) -> None:
        pass

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatChunk]:
        self.asked.append(request)
        for delta in ({"reasoning": "1. 按 KDIGO 2012，可能要复查。"}, {"content": "## 定义\n用 512 mg。"}):
            yield ChatChunk.model_validate({"choices": [{"delta": delta, "finish_reason": None}]})
        yield ChatChunk.model_validate({"choices": [{"delta": {}, "finish_reason": "stop"}]})

    @property
    def given(self) -> list[str]:
        """The last message of each request."""
        return [request.messages[-1].text for request in self.asked]


Talk = Callable[..., tuple[Answering, str, int]]


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Talk]:
    """Type these lines; gives the service, what was told on stderr, and the exit code."""
    i18n.set_language("en")

    def talk_it(*lines: str | Callable[[], str], **settings: Any) -> tuple[Answering, str, int]:
        told: list[str] = []
        typed = iter([*lines, None])

        def read() -> str | None:
            line = next(typed)
            return line() if callable(line) else line

        monkeypatch.setattr(plain, "_tell", told.append)
        monkeypatch.setattr(plain, "read_question", read)
        service = Answering()
        with asyncio.Runner() as runner:
            whole = Settings(engine_socket="/x").model_copy(update=settings)  # also a shorter time than is allowed
            code = plain._Session(whole, service, runner).converse()
        return service, "\n".join(told), int(code)

    yield talk_it
    i18n.set_language("en")


WHO = "患者姓名：王小明，65岁男性，心梗，肌酐132，如何治疗？"


def test_what_tells_who_the_patient_is_waits_for_a_decision(talk: Talk) -> None:
    service, told, code = talk(WHO)
    assert (service.asked, code) == ([], 2)
    assert "This could tell who the patient is: name. Not sent yet: /mask" in told
    service, told, code = talk(WHO, "/mask")
    assert (code, len(service.asked)) == (0, 1)
    assert service.given[0].startswith("患者姓名：[姓名]，65岁男性")
    assert talk(WHO, "/send")[0].given[0].startswith(WHO)
    service, told, code = talk(WHO, "血钾高怎么办？", "/send")
    assert [each.split("\n")[0] for each in service.given] == ["血钾高怎么办？"]
    assert "The question that waited was dropped." in told
    assert "No question waits." in told


def test_the_policy_is_kept(talk: Talk) -> None:
    assert talk(WHO, identifiers="mask")[0].given[0].startswith("患者姓名：[姓名]，65岁男性")
    service, told, code = talk(WHO, "/send", identifiers="block")
    assert (service.asked, code) == ([], 2)
    assert "masked or not at all" in told
    assert talk(WHO, "/send", "/mask", identifiers="block")[0].given[0].startswith("患者姓名：[姓名]")


def test_the_card_is_made_of_the_first_question_and_goes_with_the_next(talk: Talk) -> None:
    service, told, _code = talk(WHO, "/mask", "针对上述情况，如何复查？", "/card -", "再说一次，如何复查？", "/card")
    first, second, third = (request.messages[0].text for request in service.asked)
    assert "132" not in first
    assert "肌酐 132 μmol/L" in second
    assert "132" not in third  # emptied by the person, and not made again
    assert told.rstrip().endswith("The patient card is empty.")
    assert "王小明" not in told
    service, told, _code = talk("/card 姓名：李雷，eGFR 28", "利伐沙班怎么用？")
    assert "李雷" not in service.asked[0].messages[0].text + told
    assert "eGFR 28" in service.asked[0].messages[0].text


def test_what_can_be_checked_is_told_and_what_the_model_was_given(talk: Talk) -> None:
    _service, told, _code = talk("感冒怎么治？", "/prompt", "/marks", sections="always")
    before, _user, after = told.partition("[user]\n感冒怎么治？\n\n标准术语：感冒 = ")
    assert "Consider adding: the patient" in before
    assert "1 step · 1 citation" in before
    assert "In the answer: number from nowhere: 512 mg" in before
    assert "Missing in this answer: Mechanism · Differential · Recommendation" in before
    assert "The answer had to have these parts: 定义 · 机制 · 鉴别 · 建议" in after
    assert "   - citation: KDIGO 2012" in after
    _service, told, _code = talk("/prompt", "/marks")
    assert "The model has not been given anything yet." in told


def test_a_new_patient_takes_card_marks_and_prompt_along(talk: Talk) -> None:
    service, told, _code = talk(WHO, "/mask", "/new", "/card", "/prompt", "/marks", "心梗如何治疗？")
    assert "132" not in service.asked[1].messages[0].text
    after = told.partition("was wiped")[2]
    assert "The patient card is empty." in after
    assert "The model has not been given anything yet." in after
    assert "Nothing to check was found." in after
    assert "王小明" not in after


def test_the_card_keeps_the_diagnosis_when_its_turn_has_left(talk: Talk) -> None:
    first = "65岁男性，突发胸痛2小时，V1–V4 ST段抬高，STEMI，" + "既往史详述，" * 120 + "如何治疗？"
    service, told, code = talk(
        first, "针对上述情况，抗凝如何选择？", "针对上述情况，出院前要做什么？", context_window=2048, max_tokens=512
    )
    assert code == 0
    assert [len(request.messages) for request in service.asked] == [2, 4, 6]
    long = "，并请逐条说明依据" * 80
    service, told, code = talk(
        first,
        f"针对上述情况，抗凝如何选择{long}？",
        "针对上述情况，出院前要做什么？",
        context_window=2048,
        max_tokens=512,
    )
    last = service.asked[-1]
    assert "The oldest 1 turns no longer fit" in told
    assert not any("既往史详述" in message.text for message in last.messages)
    assert "STEMI" in last.messages[0].text
    assert "V1–V4" in last.messages[0].text


def test_the_audit_log_is_told_of_login_guard_and_logout(talk: Talk) -> None:
    def told(*lines: str, **settings: Any) -> list[tuple[str, str, dict[str, int]]]:
        return [(each.event, each.outcome, each.counts) for each in talk(*lines, **settings)[0].events]

    ends = ("login", "ok", {}), ("logout", "ok", {})
    name = {"name": 1}
    assert told(WHO, "/mask") == [ends[0], ("guard", "masked", name), ends[1]]
    assert told(WHO, "/send") == [ends[0], ("guard", "sent", name), ends[1]]
    assert told(WHO, "血钾高怎么办？") == [ends[0], ("guard", "edited", name), ends[1]]
    assert told(WHO, "血钾高怎么办？", identifiers="block") == [ends[0], ("guard", "blocked", name), ends[1]]
    assert told(WHO, identifiers="mask") == [ends[0], ("guard", "masked", name), ends[1]]
    assert told("/card 姓名：张三") == [ends[0], ("guard", "masked", name), ends[1]]


def test_the_conversation_is_forgotten_where_nobody_types(talk: Talk) -> None:
    def late() -> str:
        signal.sigtimedwait([], 0.3)
        return "/prompt"

    service, told, _code = talk("血钾高怎么办？", "/card 62 kg", late, "/card", lock_after_s=0.2)
    assert "After 1 minute without a line" in told
    assert "forgotten, here and in the service" in told.split("/help lists")[1]
    assert "has not been given anything yet" in told
    assert told.endswith("The patient card is empty.")
    assert service.left == 1
    assert [(each.event, each.outcome) for each in service.events][1] == ("lock", "wiped")


def test_where_there_is_nothing_nothing_is_forgotten(talk: Talk) -> None:
    def late() -> str:
        signal.sigtimedwait([], 0.3)
        return "/card"

    service, told, _code = talk(late, lock_after_s=0.1)
    assert "Nothing was typed" not in told
    assert service.left == 0
