"""A hostile client: requests made wrong in every way, from a seed. Run: fuzzer.py SOCKET SEED COUNT CONNECTIONS UID GID

Prints one JSON object: replies by status, and what no gateway should have said.
"""

import asyncio
import collections
import contextlib
import json
import os
import random
import re
import sys

SILENCE_S = 0.15
"""How long a reply is waited for: what was sent may be no whole request."""
PATIENCE_S = 20.0
"""How long a reply is waited for where the request was right."""

CHAT = {"messages": [{"role": "user", "content": "n=2"}]}
STREAM = {"messages": [{"role": "user", "content": "n=3 pause=0.002"}], "stream": True, "wait": True}
BIG = {"messages": [{"role": "user", "content": "n=60 big"}], "stream": True}
BODIES = [CHAT, STREAM, BIG, {"prompt": "x"}, {"payload": "x", "ttl_s": 5}, {"event": "login", "outcome": "ok"}]
TARGETS = [
    "/health", "/v1/models", "/v1/models/stub", "/metrics", "/v1/telemetry", "/v1/session", "/v1/session?parked=keep",
    "/v1/chat/completions", "/tokenize", "/v1/events", "/v1/audit", "/", "*", "/..//health", "/%00%ff", "//",
    "/health#x", "http://other/health", "/health?" + "q=1&" * 50, "/\xff\xfe", "/nothing/\u00e9",
]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI", "get", "G\x00T", ""]
HEADERS = [
    "Host: x", "Host: x\r\nHost: y", "Connection: close", "Connection: keep-alive, Upgrade", "Upgrade: websocket",
    "Upgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AAMAAABk", "Expect: 100-continue", "Expect: 417",
    "Content-Length: 99999999999999999999999", "Content-Length: 4294967297", "Content-Length: -1", "Content-Length: ",
    "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 0x10", "Content-Length: 2", "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3", "X: \x00", "X : y", ": y",
    "X\xff: \xfe", " folded", "X: " + "y" * 9000, "X-Medgemma-Session: a:b", "X-Medgemma-Owner: 0:s.x", "Cookie: \r",
    "X-Medgemma-Session: " + "\xe9" * 300, "Content-Type: text/plain", "Accept: nothing", "Range: bytes=0-",
    "Content-Encoding: gzip", "\r\n".join(f"X{n}: y" for n in range(300)),
]  # fmt: skip
VALUES = [
    None, True, -1, 0, 10**30, 1e308, "", "x" * 5000, "\ud800", "\x00", [], {}, [[]], {"a": {"b": []}}, "user", "NaN",
    [1], {"role": "user"}, [{"role": "user", "content": "n=1"}] * 3, [{}] * 50,
]  # fmt: skip
CHUNKS = [
    b"5\r\nabcde\r\n0\r\n\r\n", b"zz\r\n", b"ffffffffffffffff\r\n", b"-1\r\nx\r\n", b"5;" + b"e" * 5000 + b"\r\nabcde",
    b"0\r\nTrailer: " + b"x" * 3000 + b"\r\n\r\n", b"1\r\nx" * 9, b"3\r\n{}\n\r\n0\r\n\r\n", b"\r\n\r\n", b"0\r\n",
]  # fmt: skip


def body_of(rng):
    body = json.loads(json.dumps(rng.choice(BODIES)))
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 5))):
        name = rng.choice(
            [*body, "messages", "stream", "max_tokens", "temperature", "stop", "seed", "x", "tools", "ttl_s"]
        )
        body[name] = rng.choice(VALUES)
    text = json.dumps(body).encode()
    kind = rng.random()
    if kind < 0.05:
        text = b"[" * rng.choice((10, 5000)) + text
    elif kind < 0.1:
        text = bytes(rng.randrange(256) for _ in range(rng.randrange(80)))
    return text


def valid(rng):
    """A request that is right, at least in its form."""
    if rng.random() < 0.5:
        body = json.dumps(rng.choice(BODIES)).encode()
        target = rng.choice(["/v1/chat/completions", "/tokenize", "/v1/session", "/v1/events"])
        method = "PUT" if target == "/v1/session" else "POST"
    else:
        body, target, method = b"", rng.choice(TARGETS[:7]), rng.choice(["GET", "GET", "HEAD", "DELETE"])
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def odd(rng):
    """A request put together from odd parts."""
    body = body_of(rng) if rng.random() < 0.6 else b"".join(rng.choices(CHUNKS, k=rng.randrange(4)))
    headers = rng.sample(HEADERS, rng.randrange(4))
    if rng.random() < 0.6:
        headers.append(f"Content-Length: {len(body)}")
    version = rng.choice(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/2.0", "HTTP/9.9", "HTTP/1.1 x", "", "http/1.1"])
    head = f"{rng.choice(METHODS)} {rng.choice(TARGETS)} {version}"
    return "\r\n".join([head, *headers, "", ""]).encode("utf-8" if rng.random() < 0.5 else "latin-1", "replace") + body


def mutated(rng):
    """A right request with a few bytes changed, doubled or cut out."""
    data = bytearray(valid(rng))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        elif kind == 2:
            del data[at : at + rng.randrange(1, 30)]
        elif kind == 3:
            data[at:at] = data[max(0, at - rng.randrange(1, 60)) : at]
        else:
            del data[at:]
    return bytes(data)


def noise(rng):
    """Bytes that are no request."""
    return rng.choice([
        bytes(rng.randrange(256) for _ in range(rng.randrange(1, 400))),
        b"\r\n" * rng.randrange(1, 3000),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(60)),
        b"GET /" + b"a" * rng.choice((1000, 40_000)),
        b"GET /health HTTP/1.1\r\nX: " + b"b" * rng.choice((1000, 40_000)),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ])  # fmt: skip


def request(rng):
    """Something to send, and whether it must be answered."""
    if rng.random() < 0.25:
        return valid(rng), True
    return hostile(rng), False


def hostile(rng):
    kind = rng.uniform(0.25, 1)
    if kind < 0.6:
        return odd(rng)
    if kind < 0.85:
        return mutated(rng)
    if kind < 0.93:
        return noise(rng)
    return b"".join(valid(rng) for _ in range(rng.randrange(2, 14)))


def wrong(reply, asked):
    """What is wrong with a reply, if anything is: an error must be ours, in JSON."""
    head, split, body = reply.partition(b"\r\n\r\n")
    match = re.match(rb"HTTP/1\.1 (\d\d\d) ", head)
    if match is None or not split:
        return "no HTTP", 0
    status = int(match[1])
    if status < 400:
        return "", status
    if status in (500, 502):
        return "an internal error", status
    if b"content-type: application/json" not in head.lower():
        return "an error that is not JSON", status
    length = re.search(rb"(?i)content-length: (\d+)", head)
    if asked.lstrip().startswith(b"HEAD") or length is None or len(body) < int(length[1]):
        return "", status
    try:
        told = json.loads(body[: int(length[1])])
        error = told["error"]
        return ("" if error["type"] and error["message"] and error["code"] else "an error without words"), status
    except (ValueError, KeyError, TypeError):
        return "an error in another shape", status


async def read(reader, writer, rng, *, must):
    """What comes back, or a part of it. ``must``: something has to."""
    leaves = rng.random()
    if not must and leaves < 0.3:  # at once, or a moment later, without reading
        await asyncio.sleep(rng.choice((0, 0, 0.002, 0.01)))
        return b""
    if not must and leaves < 0.4:
        writer.write_eof()
    reply = b""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(PATIENCE_S if must else SILENCE_S):
            reply = await reader.read(65536)
        async with asyncio.timeout(SILENCE_S):
            while leaves > 0.6 and len(reply) < 200_000 and (more := await reader.read(65536)):
                reply += more
    return reply


async def one(path, rng, told):
    """One connection with one or several requests."""
    sent, right = request(rng)
    must = right and rng.random() < 0.8
    reader, writer = await asyncio.open_unix_connection(path)
    reply = b""
    try:
        at = rng.randrange(len(sent) + 1) if rng.random() < 0.2 else len(sent)
        for piece in (sent[:at], sent[at:]):
            writer.write(piece)
            await asyncio.sleep(0)
        reply = await read(reader, writer, rng, must=must)
    finally:
        writer.transport.abort()
    fault, status = wrong(reply, sent) if reply else ("no answer" if must else "", 0)
    told["statuses"][str(status or "silent")] += 1
    if fault:
        told["faults"].append([fault, status, repr(sent[:300]), repr(reply[:300])])


async def main(path, seed, count, connections):
    told = {"statuses": collections.Counter(), "faults": []}
    numbers = iter(range(count))

    async def worker():
        for number in numbers:
            try:
                await one(path, random.Random(f"{seed}/{number}"), told)
            except OSError as error:
                told["statuses"][type(error).__name__] += 1

    await asyncio.gather(*(worker() for _ in range(connections)))
    print(json.dumps(told))


if __name__ == "__main__":
    socket, seed, count, connections, uid, gid = sys.argv[1], *map(int, sys.argv[2:7])
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    asyncio.run(main(socket, seed, count, connections))
