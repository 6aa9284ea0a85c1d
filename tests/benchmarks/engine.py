"""Decode speed and time to first token: our gateway's socket against `transformers serve` on the same weights.

Both servers run side by side and are asked in turn, so that a drift of the machine touches both alike. Every server
gets the same client (plain httpx, events counted, the same prompts, the same number of new tokens).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from medgemma_tui.demo import corpus, model_dir
from tests.benchmarks.figures import Figure

NEW_TOKENS = 160
ROUNDS = 5


@dataclass
class Timing:
    """One streamed reply: seconds to the first token, and from the first to the last; tokens."""

    first: float
    decode: float
    tokens: int
    answer: str = ""

    @property
    def rate(self) -> float:
        """Tokens per second of decoding."""
        return (self.tokens - 1) / self.decode if self.decode else 0.0


@dataclass
class Server:
    """A running server and the client that asks it."""

    name: str
    client: httpx.AsyncClient
    model: str
    extra: dict[str, object] = field(default_factory=dict)

    async def ask(self, messages: list[dict[str, str]], max_tokens: int = NEW_TOKENS) -> Timing:
        """Stream one greedy reply and time it. Tokens are the server's own count, or the chunks where it has none."""
        body = {"model": self.model, "messages": messages, "stream": True, "max_tokens": max_tokens,
                "stream_options": {"include_usage": True}, "temperature": 0.0, **self.extra}  # fmt: skip
        began = time.perf_counter()
        first = last = 0.0
        chunks, tokens, answer = 0, 0, []
        async with self.client.stream("POST", "/v1/chat/completions", json=body) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                if "error" in event:
                    raise RuntimeError(event["error"])
                delta = event["choices"][0]["delta"] if event.get("choices") else {}
                if delta.get("content") or delta.get("reasoning"):
                    last = time.perf_counter()
                    first = first or last
                    chunks += 1
                    answer.append(delta.get("content") or "")
                if event.get("usage"):
                    tokens = event["usage"]["completion_tokens"]
        return Timing(first - began, last - first, tokens or chunks, "".join(answer))


@contextlib.contextmanager
def ours(directory: Path) -> Iterator[Server]:
    """Our gateway with its worker on the demo model, over a Unix socket."""
    path = directory / "gateway.sock"
    command = [sys.executable, "-m", "medgemma_tui", "serve", "--demo", "--socket", str(path)]
    with _running(command, directory / "ours.log"):
        client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://gateway", timeout=None
        )
        _wait(lambda: httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://gateway"), "/health")
        yield Server("ours", client, "demo")


@contextlib.contextmanager
def transformers_serve(directory: Path, *, continuous: bool) -> Iterator[Server]:
    """`transformers serve` on the same weights in 4-bit, on the CPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(model_dir()), "--quantization",
               "bnb-4bit", "--device", "cpu", "--port", str(port), "--host", "127.0.0.1"]  # fmt: skip
    if continuous:
        command += ["--continuous-batching", "--attn-implementation", "sdpa"]
    base = f"http://127.0.0.1:{port}"
    with _running(command, directory / f"transformers-{continuous}.log"):
        _wait(lambda: httpx.Client(base_url=base, trust_env=False), "/health")
        yield Server("transformers", httpx.AsyncClient(base_url=base, timeout=None, trust_env=False), str(model_dir()))


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL, env=environment)
        try:
            yield
        except Exception:
            print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
            raise
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def _wait(make_client: object, path: str) -> None:
    with make_client() as client:  # type: ignore[operator]
        for _attempt in range(600):
            with contextlib.suppress(httpx.HTTPError):
                if client.get(path).status_code == 200:
                    return
            time.sleep(0.2)
    raise TimeoutError("the server did not become ready")


def _prompts() -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": question}] for question in corpus.suggestions("zh")[:8]]


async def _alone(server: Server) -> float:
    return (await server.ask(_prompts()[0])).rate


async def _together(server: Server, rows: int) -> float:
    """Aggregate tokens a second of ``rows`` conversations at once, first tokens and all."""
    began = time.perf_counter()
    timings = await asyncio.gather(*(server.ask(prompt) for prompt in _prompts()[:rows]))
    return sum(timing.tokens for timing in timings) / (time.perf_counter() - began)


async def _turns(server: Server, count: int = 10) -> tuple[float, float]:
    """Seconds to the first token at turn 1 and at turn ``count`` of one conversation; traces leave the history."""
    messages: list[dict[str, str]] = []
    firsts = []
    for question in corpus.suggestions("zh")[:count]:
        messages.append({"role": "user", "content": question})
        timing = await server.ask(messages, max_tokens=256)
        firsts.append(timing.first)
        messages.append({"role": "assistant", "content": timing.answer.strip()[:160] or "—"})
    return firsts[0], firsts[-1]


async def _measure(ours_: Server, plain: Server, continuous: Server) -> list[Figure]:
    for server in (ours_, plain, continuous):
        await server.ask(_prompts()[0])  # warm-up
    alone = {server.name + str(index): [] for index, server in enumerate((ours_, plain))}
    eight: list[float] = []
    one: list[float] = []
    eight_continuous: list[float] = []
    ratios: list[float] = []
    for _round in range(ROUNDS):
        alone["ours0"].append(await _alone(ours_))
        alone["transformers1"].append(await _alone(plain))
        one.append(await _together(ours_, 1))
        eight.append(await _together(ours_, 8))
        eight_continuous.append(await _together(continuous, 8))
        first, tenth = await _turns(ours_)
        ratios.append(tenth / first)
        print(f"  round {_round + 1}: {alone['ours0'][-1]:.0f} against {alone['transformers1'][-1]:.0f} tok/s alone; "
              f"8 at once {eight[-1]:.0f} against {eight_continuous[-1]:.0f}; "
              f"first token {first * 1000:.0f} → {tenth * 1000:.0f} ms", file=sys.stderr)  # fmt: skip
    mid = statistics.median
    return [
        Figure("decode alone, ours", mid(alone["ours0"]), "tok/s"),
        Figure("decode alone, transformers serve", mid(alone["transformers1"]), "tok/s"),
        Figure("decode alone, ratio", _paired(alone["ours0"], alone["transformers1"]), "×", 2.0),
        Figure("8 conversations, ours", mid(eight), "tok/s"),
        Figure("8 conversations against 1", _paired(eight, one), "×", 5.0),
        Figure("8 conversations, transformers serve continuous", mid(eight_continuous), "tok/s"),
        Figure("8 conversations, ratio", _paired(eight, eight_continuous), "×", 1.5),
        Figure("first token, turn 10 against turn 1", mid(ratios), "×", 1.5, "at most"),
    ]


def _paired(ours_: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours_, theirs, strict=True))


def run() -> list[Figure]:
    """All the engine's figures."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with (
            ours(directory) as server,
            transformers_serve(directory, continuous=False) as plain,
            transformers_serve(directory, continuous=True) as continuous,
        ):
            return asyncio.run(_measure(server, plain, continuous))
