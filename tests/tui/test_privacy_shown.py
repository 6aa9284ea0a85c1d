"""The status bar over real processes: sealed ones, and a gateway that is not."""

from __future__ import annotations

from gateway_running import Running

from medgemma_tui.protocol import ProcessSeal

UNSEALED = "import medgemma_tui.privacy.seal as s; s.seal = lambda role: s.Seal(role, ())"


def said(it) -> tuple[str, str]:
    statement = it.chat.status_bar._statements[2]
    return statement.level, statement.text


async def test_a_gateway_that_is_not_sealed_turns_the_statement_red_with_the_reason(screen, tmp_path):
    running = Running(engine_socket=tmp_path / "none.sock", patch=UNSEALED, telemetry_interval_s=0.2).listening()
    try:
        async with screen(running.socket) as it:
            await it.until(lambda: said(it)[0] == "bad", what="red")
            assert said(it)[1] == "not sealed · gateway: no system call filter"
            await it.press("f3", "s")
            await it.until(
                lambda: "Not shut (gateway): The system call filter is not in force" in it.app._system_text()
            )
    finally:
        running.stop()


async def test_a_gateway_before_another_engine_is_sealed_and_the_engine_is_not_vouched_for(
    screen, scripted, sealed_screen
):
    async with screen(scripted.socket) as it:
        await it.until(lambda: said(it)[0] == "warn")
        assert "not ours to seal (screen, gateway)" in said(it)[1]
        sealed_screen.seal = ProcessSeal(inet_sockets=0, open=["tcp"])
        await it.until(lambda: said(it)[0] == "bad")
        assert said(it)[1] == "not sealed · screen: a network socket could be opened"
        sealed_screen.seal = None
        await it.until(lambda: said(it)[0] == "unknown")
