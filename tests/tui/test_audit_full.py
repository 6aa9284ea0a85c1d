"""What the person sees while the audit log cannot be written."""

from __future__ import annotations

import shutil

import pytest
from gateway_running import Engine, Running, short_directory, wait_for


@pytest.fixture
def service(small_disk):
    """A gateway before a stub engine, whose audit log is on a small disk."""
    directory = short_directory()
    engine = Engine(directory)
    gateway = Running(engine_socket=engine.socket, audit_dir=small_disk.log).ready()
    try:
        yield gateway
    finally:
        gateway.stop()
        engine.stop()
        shutil.rmtree(directory)


async def test_the_banner_says_why_and_all_comes_right_by_itself(screen, service, small_disk):
    async with screen(service.socket) as it:
        await it.connected()
        it.chat.set_draft("n=60 pause=0.05")
        await it.press("enter")
        running = await it.until(lambda: it.last, what="the question")
        await it.until(lambda: "w1" in running.answer, what="the answer")
        small_disk.disk_full()
        wait_for(lambda: service.ask("n=1").status_code == 503, what="a refusal")  # somebody else's question
        why = "the audit log cannot be written (the disk is full)"
        await it.until(lambda: why in it.text(), what="the banner")
        assert "loaded, but the audit log cannot be written" in " ".join(it.text().split())
        await it.until(lambda: not running.live, what="the end of the running answer")
        assert "w59" in running.answer
        it.chat.set_draft("n=2")
        await it.press("enter")
        waiting = await it.until(lambda: it.last if it.last is not running else None, what="the next question")
        await it.until(lambda: "waiting: the audit log cannot be written" in it.text(), what="what it waits for")
        small_disk.free()
        await it.until(lambda: not waiting.live, what="its answer")
        assert "w1" in waiting.answer
        await it.until(lambda: why not in it.text(), what="the end of the banner")
