"""Parked conversations: one a user, bounded, wiped in time, forgotten everywhere."""

from __future__ import annotations

import asyncio

import pytest
from gateway_running import Running, wait_for

from medgemma_tui.gateway.sessions import Sessions
from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import SessionBody


def test_a_conversation_is_parked_fetched_and_forgotten(stubbed):
    http = stubbed.gateway.http
    assert http.get("/v1/session").status_code == 404
    assert http.put("/v1/session", json={"payload": "患者 😀", "ttl_s": 60}).status_code == 204
    got = http.get("/v1/session").json()
    assert got["payload"] == "患者 😀"
    assert 55 < got["expires_in_s"] <= 60
    assert stubbed.gateway.metrics()[("medgemma_parked_sessions", ())] == 1
    http.put("/v1/session", json={"payload": "second"})
    assert http.get("/v1/session").json()["payload"] == "second"
    assert http.delete("/v1/session?parked=keep").status_code == 204
    assert http.get("/v1/session").json()["payload"] == "second"
    assert http.delete("/v1/session?parked=perhaps").json()["error"]["param"] == "parked"
    assert http.delete("/v1/session").status_code == 204
    assert http.get("/v1/session").status_code == 404
    assert stubbed.engine.seen()["forgotten"] == []  # another engine has no such call


def test_one_that_is_too_large_is_refused_and_the_old_one_kept(stubbed):
    http = stubbed.gateway.http
    http.put("/v1/session", json={"payload": "old"})
    response = http.put("/v1/session", json={"payload": "x" * 4097})
    assert response.status_code == 413
    assert (response.json()["error"]["type"], response.json()["error"]["param"]) == ("too_large", "payload")
    assert http.put("/v1/session", json={"payload": "血" * 1400}).status_code == 413  # bytes count, not characters
    assert http.get("/v1/session").json()["payload"] == "old"
    http.delete("/v1/session")


def test_one_is_told_from_another_by_its_id(stubbed):
    http = stubbed.gateway.http
    assert http.put("/v1/session", json={"payload": "one", "id": "a", "replace": False}).status_code == 204
    refused = http.put("/v1/session", json={"payload": "two", "id": "b", "replace": False})
    assert (refused.status_code, refused.json()["error"]["type"]) == (409, "another_is_kept")
    assert http.put("/v1/session", json={"payload": "one more", "id": "a", "replace": False}).status_code == 204
    assert http.delete("/v1/session?id=b").status_code == 404
    assert http.get("/v1/session").json()["payload"] == "one more"
    assert http.put("/v1/session", json={"payload": "two", "id": "b"}).status_code == 204
    assert http.get("/v1/session").json()["id"] == "b"
    assert http.delete("/v1/session?id=b").status_code == 204
    assert http.get("/v1/session").status_code == 404


@pytest.mark.parametrize("body", [{}, {"payload": 1}, {"payload": "x", "ttl_s": 0}, {"payload": "x", "more": 1}])
def test_a_bad_body(stubbed, body):
    assert stubbed.gateway.http.put("/v1/session", json=body).status_code == 400


def test_the_sites_deadline_wins_and_nobody_needs_to_look():
    running = Running("--demo", session_ttl_s=2).listening()
    try:
        assert running.http.put("/v1/session", json={"payload": "x", "ttl_s": 3600}).status_code == 204
        assert running.http.get("/v1/session").json()["expires_in_s"] <= 2
        wait_for(lambda: running.metrics()[("medgemma_parked_sessions", ())] == 0, 10, what="the deadline")
        assert running.http.get("/v1/session").status_code == 404
    finally:
        running.stop()


async def test_each_user_has_their_own_and_it_is_overwritten_when_it_goes():
    sessions = Sessions(max_bytes=100, total_bytes=1000, ttl_s=0.5)
    sessions.park(1, SessionBody(payload="one"))
    sessions.park(2, SessionBody(payload="two"))
    assert sessions.get(1).payload == "one"
    assert sessions.get(2).payload == "two"
    kept = sessions._parked[1].payload
    sessions.drop(1)
    assert kept == bytearray(3)
    with pytest.raises(ApiError) as caught:
        sessions.get(1)
    assert caught.value.status == 404
    kept = sessions._parked[2].payload
    async with asyncio.timeout(20):
        while len(sessions):  # noqa: ASYNC110 - the timer of the deadline has no event
            await asyncio.sleep(0.02)
    assert kept == bytearray(3)


async def test_one_user_cannot_push_anothers_out():
    sessions = Sessions(max_bytes=100, total_bytes=150, ttl_s=60)
    sessions.park(1, SessionBody(payload="x" * 100))
    sessions.park(2, SessionBody(payload="y" * 50))
    with pytest.raises(ApiError) as caught:
        sessions.park(2, SessionBody(payload="y" * 51))
    assert (caught.value.status, caught.value.type) == (507, "parked_full")
    assert sessions.get(1).payload == "x" * 100
    assert sessions.get(2).payload == "y" * 50  # the last one that was taken is kept
    sessions.park(1, SessionBody(payload="z" * 99))  # one's own is not counted twice
    sessions.park(2, SessionBody(payload="y" * 51))
    sessions.drop_all()


async def test_parking_again_begins_the_time_anew():
    sessions = Sessions(max_bytes=100, total_bytes=1000, ttl_s=1.0)
    for _ in range(4):
        sessions.park(1, SessionBody(payload="x"))
        await asyncio.sleep(0.3)
    assert sessions.get(1).payload == "x"


async def test_no_more_time_is_promised_than_was_granted(monkeypatch):
    now = 4739.3
    assert (now + 0.3) - now > 0.3  # what a clock in floating point does
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now, raising=False)
    sessions = Sessions(max_bytes=100, total_bytes=1000, ttl_s=0.3)
    sessions.park(1, SessionBody(payload="x", ttl_s=3600))
    assert sessions.get(1).expires_in_s <= 0.3
    sessions.drop_all()
