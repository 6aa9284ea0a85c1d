"""The real screen with 1,000 finished turns in its transcript. ``python -m tests.benchmarks.thousand SOCKET``."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from medgemma_tui import i18n, settings
from medgemma_tui.protocol import Usage
from medgemma_tui.tui import environment

TURNS = 1000
IN_CONTEXT = 20
TRACE = "1. 先明确分期。\n2. KDIGO 2012 给出界限。\n3. 单次结果只给出分级。"
ANSWER = (
    "## 建议\n\n- **阿司匹林** 负荷量后维持\n- 尽早再灌注\n\n| 分级 | eGFR |\n|---|---|\n| G1 | ≥90 |\n| G5 | <15 |\n"
)


def main() -> None:
    """Open it, finished turns first, on a gateway that is there already."""
    loaded = settings.load(socket=Path(sys.argv[1]), lang="zh")
    i18n.set_language("zh")
    environment.prepare(loaded)
    from medgemma_tui.tui import profile
    from medgemma_tui.tui.commands import Screen
    from medgemma_tui.tui.conversation import Turn
    from medgemma_tui.tui.service import ExistingGateway

    class Full(Screen):
        async def on_mount(self) -> None:
            for number in range(TURNS):
                turn = Turn(
                    f"问题 {number}：分期标准？", datetime.now(UTC), state="done", reasoning=TRACE, answer=ANSWER
                )
                turn.usage = Usage(completion_tokens=200, tokens_per_second=41.0)
                turn.left_context = number < TURNS - IN_CONTEXT
                self.controller.conversation.entries.append(turn)
                self.chat.added(turn)

    assert loaded.socket is not None
    Full(loaded, ExistingGateway(loaded.socket), profile.choose("auto", os.environ)).run()


if __name__ == "__main__":
    main()
