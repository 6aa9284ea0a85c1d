"""A conversation handed to the service and taken back: a real gateway, two screens of one user one after the other."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.widgets import TextArea

from medgemma_tui.asking import prepare
from medgemma_tui.clinical.findings import Analysis
from medgemma_tui.protocol import ChatMessage, ChatRequest, ErrorInfo, Usage
from medgemma_tui.tui import parking
from medgemma_tui.tui.conversation import Notice, Sent, Turn
from medgemma_tui.tui.keeping import Kept
from medgemma_tui.tui.screens.dialogs import CardEditor
from medgemma_tui.tui.screens.guard import DEAF_S
from medgemma_tui.tui.screens.lock import LockScreen
from medgemma_tui.tui.screens.pin import SetPin
from medgemma_tui.tui.screens.take_back import TakeBack

# --- the payload ---

texts = st.text(st.characters(codec="utf-8"), max_size=30)
moments = st.datetimes(timezones=st.sampled_from([timezone(timedelta(hours=8)), UTC]))
analyses = st.sampled_from(
    [
        None,
        Analysis(),
        prepare("65岁男性，姓名：张三，肌酐132，否认心梗史，利伐沙班15mg qd，如何治疗？", sections="auto").analysis,
    ]
)
sents = st.builds(
    Sent,
    request=st.builds(
        lambda words: ChatRequest(
            messages=[
                ChatMessage(role="user" if at % 2 == 0 else "assistant", content=w) for at, w in enumerate(words)
            ],
            stream=True,
            max_tokens=99,
            temperature=0.5,
            sections=["x"],
        ),
        st.lists(texts, min_size=1, max_size=5).filter(lambda words: len(words) % 2),
    ),
    instructions=texts,
    card=texts,
    left=st.lists(texts, max_size=2).map(tuple),
    quantization=texts,
)
turns = st.builds(
    Turn,
    question=texts,
    asked_at=st.datetimes(),
    state=st.sampled_from(["waiting", "reasoning", "answering", "done"]),
    reasoning=texts,
    answer=texts,
    finish_reason=st.none() | texts,
    usage=st.none() | st.builds(Usage, prompt_tokens=st.integers(0, 9), tokens_per_second=st.floats(0, 100)),
    error=st.none() | st.builds(ErrorInfo, type=texts, message=texts, params=st.none() | st.dictionaries(texts, texts)),
    model=texts,
    unknown_to_demo=st.booleans(),
    left_context=st.booleans(),
    analysis=analyses,
    sections=st.none() | st.lists(texts),
    prompt=texts,
    sent=st.none() | sents,
)
notices = st.builds(Notice, text=texts, level=st.sampled_from(["info", "warning", "error"]))
everything = st.builds(
    Kept,
    entries=st.lists(turns | notices, max_size=4).map(tuple),
    kept_at=moments,
    card=texts,
    card_is_theirs=st.booleans(),
    taken_up=st.lists(st.integers(0, 5)).map(tuple),
    card_draft=st.none() | texts,
    draft=texts,
    set_aside=texts,
    edited=st.none() | st.integers(0, 5),
    history=st.lists(texts).map(tuple),
    thinking=st.sampled_from(["auto", "force", "skip"]),
    sections=st.sampled_from(["auto", "always", "off"]),
    window_cap=st.none() | st.integers(512, 9999),
)


def same(kept: Kept) -> Kept:
    return replace(kept, entries=tuple(replace(entry, id=0) for entry in kept.entries))


@settings(max_examples=60, deadline=None)
@given(everything)
def test_what_is_packed_comes_back_as_it_was(kept):
    assert same(parking.unpack(parking.pack(kept))) == same(kept)


def test_every_field_of_a_turn_is_kept():
    """A field that somebody adds must be kept, or be named here as one that is not."""
    packed = json.loads(parking.pack(Kept((Turn("q", datetime.now()),), datetime.now(UTC))))["entries"][0]
    assert {each.name for each in fields(Turn)} - set(packed) == {"id", "waiting_for"}
    assert {each.name for each in fields(Kept)} <= set(parking._Parked.model_fields)


@pytest.mark.parametrize(
    ("payload", "version"),
    [
        ("parked", None), ("{}", None), ("[]", None), ('{"version": 2, "text": "x"}', 2), ('{"version": 1}', 1),
    ],
)  # fmt: skip
def test_another_form_is_refused_without_a_word_of_it(payload, version):
    with pytest.raises(parking.CannotRead) as caught:
        parking.unpack(payload)
    assert caught.value.version == version
    assert caught.value.__suppress_context__


def test_places_that_are_not_there_are_refused():
    sent = Sent(ChatRequest(messages=[ChatMessage(role="user", content="x")]), "", "")
    whole = json.loads(parking.pack(Kept((Turn("q", datetime.now(), sent=sent),), datetime.now(UTC))))
    with pytest.raises(parking.CannotRead):
        parking.unpack(json.dumps({**whole, "texts": []}))


def test_a_long_conversation_is_not_squared():
    """Each question was sent with all before it; kept is each text once."""
    said, entries = [], []
    for number in range(40):
        said.append(ChatMessage(role="user", content=f"question {number} " + "x" * 1000))
        sent = Sent(ChatRequest(messages=[*said]), "instructions", "")
        entries.append(Turn("q", datetime.now(), sent=sent))
        said.append(ChatMessage(role="assistant", content=f"answer {number} " + "y" * 1000))
    assert len(parking.pack(Kept(tuple(entries), datetime.now(UTC)))) < 40 * 4000


# --- two screens and a gateway ---


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def clocked(it) -> Clock:
    it.app.locker.state.clock = clock = Clock()
    it.app.locker.state.touched()
    return clock


@pytest.fixture
def kept(scripted):
    """What the gateway keeps for this user; nothing at the start and at the end."""
    http = scripted.gateway.http
    http.delete("/v1/session").raise_for_status()

    def read():
        reply = http.get("/v1/session")
        return reply.json() if reply.status_code == 200 else None

    yield read
    http.delete("/v1/session")


def recorded(scripted, seen: int = 0):
    """The audit log's events of screens, after the first ``seen``."""
    lines = scripted.gateway.http.get("/v1/audit").text.splitlines()
    names = ("login", "logout", "lock", "unlock", "unlock_failed", "take_back")
    found = [record for record in map(json.loads, lines) if record["event"] in names and record["outcome"] != "given"]
    return [(record["event"], record["outcome"]) for record in found][seen:]


def said(it) -> str:
    """What the screen says, its lines and frames taken away."""
    return " ".join(it.text().replace("│", " ").split())


async def lock_idle(it, clock) -> None:
    clock.now += it.app.settings.lock_after_s
    await it.until(lambda: isinstance(it.app.screen, LockScreen), what="the lock")


async def offered(it):
    await it.until(lambda: isinstance(it.app.screen, TakeBack), what="the offer")
    await it.pilot.pause(DEAF_S)


async def test_everything_comes_back_at_the_next_login(screen, scripted, kept):
    before = len(recorded(scripted))
    async with screen(scripted.socket) as it:
        await it.connected()
        await it.ask("n=2")
        await it.press("f4")
        it.app.screen.query_one(TextArea).insert("62 kg")
        await it.press("escape")
        await it.press("f7")
        it.chat.set_draft("half a question")
        turn, entries = it.last, [*it.controller.conversation.entries]
        await lock_idle(it, clocked(it))
        await it.until(kept, what="the conversation in the gateway")
        await it.until(lambda: "Log in again" in said(it))
        assert it.controller.conversation.turns == []
        assert it.chat.draft == ""
        assert "question" not in it.text()
        assert kept()["expires_in_s"] <= it.app.settings.wipe_after_s
        await it.press("enter")
        await it.until(lambda: not it.app.is_running)
    assert kept() is not None
    async with screen(scripted.socket) as it:
        await offered(it)
        assert "half a question" not in it.text()
        assert it.controller.conversation.entries == []
        await it.press("t")
        await it.connected()
        back = it.controller.conversation.entries
        assert [replace(each, id=0) for each in back] == [replace(each, id=0) for each in entries]
        assert it.chat.draft == "half a question"
        assert it.controller.card.text == "62 kg"
        assert it.controller.thinking == "force"
        await it.until(lambda: "w0 w1" in it.text())
        await it.until(lambda: kept() is None, what="nothing kept")
        it.chat.set_draft("")
        await it.press("up")
        assert it.chat.draft == turn.question
        await it.press("ctrl+r")  # the conversation goes on
        await it.until(lambda: it.last and not it.last.live)
    events = recorded(scripted, before)
    assert events == [
        ("login", "ok"), ("lock", "idle"), ("logout", "parked"), ("login", "ok"), ("take_back", "ok"), ("logout", "ok"),
    ]  # fmt: skip


async def test_an_answer_goes_on_behind_the_lock_and_is_parked_when_it_is_there(screen, scripted, kept):
    async with screen(scripted.socket) as it:
        await it.connected()
        it.chat.set_draft("n=30 pause=0.05")
        await it.press("enter")
        await it.until(lambda: it.last and it.last.answer)
        await lock_idle(it, clocked(it))
        assert "w3" not in it.text()
        assert kept() is None
        await it.until(kept)
        assert "w29" in kept()["payload"]
        assert "w29" not in it.text()


async def test_a_hang_up_parks_also_what_is_half_written(screen, scripted, kept):
    async with screen(scripted.socket) as it:
        await it.connected()
        await it.ask("n=1")
        it.chat.set_draft("n=1000 pause=0.02")
        await it.press("enter")
        await it.until(lambda: it.last and "w3" in it.last.answer)
        await it.press("f4")
        it.app.screen.query_one(TextArea).insert("not pinned yet")
        it.app._on_signal(1)
        await it.until(lambda: not it.app.is_running, 5.0)
        assert it.app.return_code == 129
    assert kept() is not None
    async with screen(scripted.socket) as it:
        await offered(it)
        await it.press("t")
        await it.until(lambda: isinstance(it.app.screen, CardEditor))
        assert it.app.screen.text == "not pinned yet"
        await it.press("escape")
        assert it.last.error.type == "interrupted"
        assert "w3" in it.last.answer
        assert not it.last.live
        assert it.controller.card.text == "not pinned yet"


async def test_leaving_it_and_wiping_it(screen, scripted, kept):
    async with screen(scripted.socket) as it:
        await it.connected()
        it.chat.set_draft("draft")
        it.app._on_signal(15)
        await it.until(lambda: not it.app.is_running, 5.0)
    async with screen(scripted.socket) as it:
        await offered(it)
        await it.press("l")
        assert it.app.screen is it.chat
        assert kept() is not None
        await it.press("f5")  # a new patient: also the one that was left, after asking
        assert "New patient" in it.text()
        await it.press("n")
        assert kept() is not None
        await it.press("f5", "y")
        await it.until(lambda: kept() is None)
    async with screen(scripted.socket) as it:
        await it.connected()
        assert it.app.screen is it.chat
        it.chat.set_draft("draft")
        it.app._on_signal(15)
        await it.until(lambda: not it.app.is_running, 5.0)
    async with screen(scripted.socket) as it:
        await offered(it)
        await it.press("w")
        await it.until(lambda: kept() is None)
        await it.until(lambda: any("wiped" in said for said in it.remarks))


async def test_another_versions_is_left_where_it_is(screen, scripted, kept):
    scripted.gateway.http.put("/v1/session", json={"payload": '{"version": 7, "text": "Mr Zhang"}'}).raise_for_status()
    async with screen(scripted.socket) as it:
        await offered(it)
        assert "cannot read it" in said(it)
        assert "take it back" not in it.text()
        assert "Zhang" not in it.text()
        await it.press("t", "enter")
        assert it.app.screen is it.chat
    assert kept()["payload"] == '{"version": 7, "text": "Mr Zhang"}'


async def test_one_that_is_kept_already_is_not_lost_for_another(screen, scripted, kept):
    put = scripted.gateway.http.put
    async with screen(scripted.socket) as it:
        await it.connected()
        it.chat.set_draft("mine")
        put("/v1/session", json={"payload": "another's"}).raise_for_status()
        clock = clocked(it)
        await lock_idle(it, clock)
        await it.until(lambda: "another conversation of yours" in said(it))
        await it.press("enter")
        assert isinstance(it.app.screen, LockScreen)
        assert it.chat.draft == "mine"
        assert kept()["payload"] == "another's"
        scripted.gateway.http.delete("/v1/session")
        await it.until(lambda: "Log in again" in said(it), what="the next try")
        assert "mine" in kept()["payload"]


async def test_too_large_a_conversation_stays_here_and_is_wiped_in_time(screen, scripted, kept):
    async with screen(scripted.socket) as it:
        await it.connected()
        it.chat.set_draft("more")
        it.controller._desk.set_aside = "x" * 2_200_000
        clock = clocked(it)
        await lock_idle(it, clock)
        await it.until(lambda: "too large" in said(it))
        clock.now += it.app.settings.wipe_after_s
        await it.until(lambda: not it.app.is_running)
        assert it.app.return_code == 6
        assert it.chat.draft == ""
    assert kept() is None


async def test_at_the_deadline_it_is_wiped_in_the_gateway_too(screen, scripted, kept):
    async with screen(scripted.socket) as it:
        await it.connected()
        await it.ask("n=1")
        clock = clocked(it)
        await lock_idle(it, clock)
        await it.until(kept)
        await it.until(lambda: "Log in again" in said(it))
        clock.now += it.app.settings.wipe_after_s
        await it.until(lambda: not it.app.is_running)
        assert it.app.return_code == 6
    assert kept() is None


async def test_five_wrong_pins_hand_it_to_the_next_login(screen, scripted, kept):
    before = len(recorded(scripted))
    async with screen(scripted.socket) as it:
        await it.connected()
        it.chat.set_draft("mine")
        await it.press("f6")
        await it.until(lambda: isinstance(it.app.screen, SetPin))
        assert "mine" not in it.text()
        await it.press(*"2468", "enter", *"2468", "enter")
        await it.until(lambda: isinstance(it.app.screen, LockScreen))
        clock = clocked(it)
        for number in range(1, 6):
            clock.now += 60
            await it.until(lambda: not it.app.locker.screen._told.deaf)
            await it.press(*"1357", "enter")
            await it.until(lambda n=number: it.app.locker.state.tries == n)
        await it.until(lambda: not it.app.is_running, 5.0)
        assert it.app.return_code == 6
    assert "mine" in kept()["payload"]
    assert recorded(scripted, before)[1:] == [
        ("lock", "asked"), *[("unlock_failed", "failed")] * 4, ("unlock_failed", "parked"), ("logout", "parked"),
    ]  # fmt: skip
