"""The real gateway and the real worker on the demo model."""

from __future__ import annotations

import json
import os
import signal
import time

import httpx
import openai
import psutil
import pytest
from gateway_running import Running, events, wait_for

from medgemma_tui.protocol import PrivacyFacts

pytestmark = pytest.mark.engine

QUESTION = "糖尿病肾病的GFR分期标准是什么？"


def text(chunks, field="content"):
    return "".join(chunk["choices"][0]["delta"].get(field) or "" for chunk in chunks if chunk.get("choices"))


def test_the_official_client_gets_an_answer(gateway):
    transport = httpx.HTTPTransport(uds=str(gateway.socket))
    with openai.OpenAI(
        base_url="http://localhost/v1", api_key="x", http_client=httpx.Client(transport=transport), max_retries=0
    ) as client:
        messages = [{"role": "user", "content": QUESTION}]
        model = next(iter(client.models.list())).id
        whole = client.chat.completions.create(model=model, messages=messages)
        assert "G1" in whole.choices[0].message.content
        assert whole.choices[0].message.reasoning
        assert whole.choices[0].finish_reason == "stop"
        stream = client.chat.completions.create(model=model, messages=messages, stream=True)
        parts = [chunk.choices[0].delta.content or "" for chunk in stream]
        assert "".join(parts) == whole.choices[0].message.content
        assert len(parts) > 10
        usage = whole.usage
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        assert usage.completion_tokens_details.reasoning_tokens > 0
        assert usage.tokens_per_second > 0
        again = [*messages, whole.choices[0].message, {"role": "user", "content": "hi"}]
        second = client.chat.completions.create(model=model, messages=again, max_tokens=40)
        stripped = [*messages, {"role": "assistant", "content": whole.choices[0].message.content}, again[-1]]
        bare = client.chat.completions.create(model=model, messages=stripped, max_tokens=40)
        assert second.choices[0].message.content == bare.choices[0].message.content
        assert second.usage.prompt_tokens == bare.usage.prompt_tokens  # the model sees no trace again
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model=model, messages=[])


def test_the_session_key_finds_the_prefix_cache_and_forgetting_loses_it(gateway):
    headers = {"X-Medgemma-Session": "cache-test"}
    history = [{"role": "user", "content": QUESTION}]
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(gateway.socket)), base_url="http://x", timeout=60) as http:
        first = http.post("/v1/chat/completions", json={"messages": history}, headers=headers).json()
        answer = first["choices"][0]["message"]["content"]
        history += [{"role": "assistant", "content": answer}, {"role": "user", "content": "?"}]
        body = {"messages": history, "max_tokens": 8}
        second = http.post("/v1/chat/completions", json=body, headers=headers).json()
        assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
        assert http.delete("/v1/session", headers=headers).status_code == 204
        third = http.post("/v1/chat/completions", json=body, headers=headers).json()
        assert third["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_tokenize_counts(gateway):
    reply = gateway.http.post("/tokenize", json={"messages": [{"role": "user", "content": QUESTION}]}).json()
    assert reply["count"] == sum(reply["message_counts"]) + reply["generation_prompt_tokens"]


def test_the_prompt_that_does_not_fit(gateway):
    response = gateway.ask("血压 " * 60_000)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_neither_process_holds_an_inet_socket_and_the_gateway_has_no_torch(gateway):
    with gateway.http.stream("GET", "/v1/telemetry") as response:
        sample = json.loads(next(events(response)))
    facts = PrivacyFacts.model_validate(sample["privacy"])
    assert (facts.gateway_inet_sockets, facts.worker_inet_sockets, facts.foreign_engine) == (0, 0, False)
    for seal in (facts.gateway, facts.worker):
        assert seal is not None
        assert (seal.inet_sockets, seal.open) == (0, [])
    assert sample["service"]["worker_rss"] > 50 * 2**20
    with open(f"/proc/{gateway.process.pid}/maps") as maps:
        assert "torch" not in maps.read()


def test_the_audit_log_tells_of_the_model_and_of_what_is_closed(gateway):
    records = gateway.records("model_load", "seal")  # and those of other gateways of this user
    load = [record for record in records if record["outcome"] == "ready" and record["counters"]["seconds"] > 0.1][-1]
    assert load["counters"]["after"] in ("starting", "loading", "worker_lost")  # another test may have killed it
    assert load["counters"]["window"] > 100
    closed = {record["counters"]["process"]: record for record in records if record["event"] == "seal"}
    assert closed["gateway"]["counters"]["no_new_privs"] == "holds"
    assert closed["worker"]["outcome"] in ("sealed", "in_part")


def test_from_nothing_to_lost_to_ready_again_to_giving_up():
    """One gateway's life: a question while it loads, kill -9 of its worker mid-answer, and over the budget."""
    running = Running("--demo", restart_limit=1).listening()
    try:
        hasty = running.ask(QUESTION)
        assert hasty.status_code == 503
        assert hasty.json()["error"]["type"] in ("starting", "loading")
        assert int(hasty.headers["Retry-After"]) >= 1
        assert running.http.get("/health").status_code == 503
        with running.stream(QUESTION, wait=True) as response:
            chunks = [json.loads(data) for data in events(response) if data != "[DONE]"]
        phases = [chunk["progress"]["phase"] for chunk in chunks if "progress" in chunk]
        assert phases[0] == "loading"
        assert "G1" in text(chunks)
        assert chunks[-1]["usage"]["completion_tokens"] > 10

        worker = running.health()["worker_pid"]
        with running.stream(QUESTION) as response:
            lines = events(response)
            for _ in range(5):
                next(lines)
            os.kill(worker, signal.SIGKILL)
            rest = list(lines)
        assert json.loads(rest[-1])["error"]["type"] == "worker_lost"
        seen = []

        def reasons():
            health = running.health()
            if not seen or seen[-1] != health["reason"]:
                seen.append(health["reason"])
            return health["reason"] == "ready"

        wait_for(reasons, 60, 0.01, "a ready model")
        assert [reason for reason in seen if reason != "starting"] == ["worker_lost", "loading", "ready"]
        assert running.health()["worker_pid"] != worker
        assert "G1" in running.ask(QUESTION).json()["choices"][0]["message"]["content"]

        with running.stream(QUESTION) as response:
            os.kill(running.health()["worker_pid"], signal.SIGKILL)
            last = list(events(response))[-1]
        assert json.loads(last)["error"]["type"] in ("worker_lost", "failed")
        assert running.process.wait(timeout=10) == 5
        assert not running.socket.exists()
        assert QUESTION[:5] not in running.log.read_text()
    finally:
        running.stop()


def test_the_worker_does_not_outlive_a_killed_gateway(tmp_path):
    running = Running("--demo").listening()
    try:
        worker = wait_for(lambda: running.health().get("worker_pid"), what="a worker")
        running.process.kill()
        running.process.wait()
        wait_for(lambda: not psutil.pid_exists(worker), 10, what="the worker's end")
    finally:
        running.stop()


def test_eight_conversations_at_once(gateway):
    began = time.monotonic()
    streams = [gateway.stream(QUESTION, headers={"X-Medgemma-Session": f"c{i}"}) for i in range(8)]
    opened = [stream.__enter__() for stream in streams]
    answers = {text([json.loads(data) for data in events(each) if data != "[DONE]"]) for each in opened}
    for stream in streams:
        stream.__exit__(None, None, None)
    assert len(answers) == 1
    assert "G1" in answers.pop()
    assert time.monotonic() - began < 60
