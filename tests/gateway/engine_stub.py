"""A small OpenAI-shaped engine on a Unix socket that does what it is told: a child process for the gateway's tests.

The last message is its script: ``n=5 pause=0.01`` writes five tokens, ``die=3`` ends the process after three of
them, ``refuse=413`` refuses, ``old`` uses ``reasoning_content``, ``big`` writes 1 kB a token, ``raw=TEXT`` sends
TEXT as an event, ``sections`` writes two headings. ``GET /seen`` tells what came, and the file that STUB_TALLY names
gets a byte for each question, so that the count outlives us. Run: engine_stub.py SOCKET [load_s] [exit_code after_s]
"""

import asyncio
import json
import os
import signal
import sys
import time

SOCKET = sys.argv[1]
LOAD_S = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
EXIT = (int(sys.argv[3]), float(sys.argv[4])) if len(sys.argv) > 4 else None
BORN = time.monotonic()
TALLY = (
    os.open(os.environ["STUB_TALLY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT) if "STUB_TALLY" in os.environ else None
)
SEEN = {"chats": [], "owners": [], "forgotten": [], "cancelled": 0, "finished": 0, "written": 0, "active": 0}


def health():
    age = time.monotonic() - BORN
    if age < LOAD_S:
        return 503, {"status": "not_ready", "reason": "loading", "percent": round(100 * age / LOAD_S)}
    return 200, {"status": "ok", "reason": "ready", "model": {"id": "stub", "max_model_len": 4096}}


async def handle(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().split("\r\n")
            method, path, _ = lines[0].split(" ")
            pairs = (line.split(":", 1) for line in lines[1:] if line)
            headers = {name.lower(): value.strip() for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if await route(method, path, headers, body, reader, writer):
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def send(writer, status, body):
    data = json.dumps(body).encode()
    writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(data)))
    writer.write(data)


async def route(method, path, headers, body, reader, writer):
    if path == "/health":
        send(writer, *health())
    elif path == "/v1/models":
        send(writer, 200, {"object": "list", "data": [{"id": "stub", "max_model_len": 4096, "root": "unknown"}]})
    elif path == "/tokenize":
        send(writer, 200, {"count": len(body), "max_model_len": 4096})
    elif path == "/seen":
        send(writer, 200, SEEN)
    elif path == "/v1/session":
        SEEN["forgotten"].append(headers.get("x-medgemma-owner"))
        send(writer, 200, {})
    else:
        if TALLY is not None:
            os.write(TALLY, b"x")
        request = json.loads(body)
        SEEN["chats"].append(request)
        SEEN["owners"].append(headers.get("x-medgemma-owner"))
        await chat(request, reader, writer)
        return True  # the watch for a hang-up has the connection's input
    await writer.drain()
    return False


async def chat(request, reader, writer):
    words = request["messages"][-1]["content"].split()
    script = dict(word.split("=", 1) if "=" in word else (word, "1") for word in words)
    count, pause = int(script.get("n", 3)), float(script.get("pause", 0))
    if "refuse" in script:
        error = {"type": "too_large", "message": "the prompt is too long", "code": "context_length_exceeded"}
        send(writer, int(script["refuse"]), {"error": error})
        return
    usage = {
        "prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count, "answer_tokens": count,
        "tokens_per_second": 42.0, "prompt_tokens_details": {"cached_tokens": 5},
    }  # fmt: skip
    if not request.get("stream"):
        await asyncio.sleep(pause * count)
        message = {"role": "assistant", "content": "word " * count, "reasoning_content": "why"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        base = {"id": "x", "object": "chat.completion", "created": 1, "model": "stub"}
        send(writer, 200, {**base, "choices": [choice], "usage": usage})
        return
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")

    def event(choices, **more):
        base = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "stub"}
        raw(json.dumps({**base, "choices": choices, **more}))

    def raw(text):
        data = f"data: {text}\n\n".encode()
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    SEEN["active"] += 1
    hangup = asyncio.ensure_future(reader.read(1))
    try:
        event([], progress={"phase": "prefill", "percent": 50})
        reasoning = "reasoning_content" if "old" in script else "reasoning"
        event([{"index": 0, "delta": {"role": "assistant", reasoning: "why"}, "finish_reason": None}])
        for index in range(count):
            if index == int(script.get("die", -1)):
                await writer.drain()
                os.kill(os.getpid(), signal.SIGKILL)
            text = "x" * 1024 if "big" in script else f"w{index} "
            event([{"index": 0, "delta": {"content": text}, "finish_reason": None}])
            await writer.drain()
            SEEN["written"] = index + 1
            if pause:
                await asyncio.sleep(pause)
            if hangup.done():
                raise ConnectionResetError
        if "sections" in script:
            for text in ("\n## Defi", "nition\nx is y\n", "**2. Me", "chanism**:\nz"):
                event([{"index": 0, "delta": {"content": text}, "finish_reason": None}])
        if "raw" in script:
            raw(script["raw"])
        event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        event([], usage=usage)
        raw("[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        SEEN["finished"] += 1
    except ConnectionError:  # met here, or by a write that came before the hang-up was seen
        SEEN["cancelled"] += 1
        raise
    finally:
        hangup.cancel()
        SEEN["active"] -= 1


async def main():
    await asyncio.start_unix_server(handle, SOCKET)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    if EXIT:
        await asyncio.sleep(EXIT[1])
        os._exit(EXIT[0])
    await asyncio.Event().wait()


asyncio.run(main())
