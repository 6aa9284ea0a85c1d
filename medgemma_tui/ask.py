"""``medgemma-tui ask``: one question, the answer on stdout, the reasoning on stderr, or both in one JSON object."""

from __future__ import annotations

import asyncio
import sys

from pydantic import BaseModel, ConfigDict

from medgemma_tui import i18n, instructions, launch, problems
from medgemma_tui.client import ServiceError
from medgemma_tui.demo import corpus
from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import _
from medgemma_tui.protocol import ChatMessage, ChatRequest, ErrorBody, ModelCard, Usage
from medgemma_tui.safetext import clean, escape_json
from medgemma_tui.settings import Settings


class AskResult(BaseModel):
    """What ``ask --json`` prints; the field names are stable.

    ``finish_reason`` is a worker ``FinishReason`` value. ``known`` is None unless the demo model answered: then it
    says whether the question is in its corpus.
    """

    model_config = ConfigDict(frozen=True)

    question: str
    reasoning: str
    answer: str
    finish_reason: str
    usage: Usage
    model: str
    demo: bool
    known: bool | None = None


def run(settings: Settings, question: str, *, as_json: bool, seed: int | None = None) -> int:
    """Ask and print. Returns the exit code; a failure is a sentence on stderr (and an error object with ``--json``)."""
    question = clean(question).strip()
    if not question:
        print(_("There is no question: give it as an argument, or with - on standard input."), file=sys.stderr)
        return ExitCode.USAGE
    request = ChatRequest(
        messages=[
            ChatMessage(role="system", content=instructions.load(settings, i18n.language())),
            ChatMessage(role="user", content=question),
        ],
        thinking=settings.thinking,
        thinking_budget=settings.thinking_budget,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=seed,
        wait=True,
    )
    try:
        result = asyncio.run(_ask(settings, request, question, show_reasoning=not as_json))
    except ServiceError as error:
        print(problems.sentence(error.info), file=sys.stderr)
        if as_json:
            print(escape_json(ErrorBody(error=error.info).model_dump_json(exclude_none=True)))
        return problems.exit_code(error.info)
    if as_json:
        print(escape_json(result.model_dump_json(exclude_none=True)))
        return ExitCode.OK
    print(clean(result.answer))
    if result.finish_reason != "stop":
        print(problems.finish_sentence(result.finish_reason), file=sys.stderr)
    if result.known is False:
        print(problems.demo_does_not_know(), file=sys.stderr)
    return ExitCode.OK


async def _ask(settings: Settings, request: ChatRequest, question: str, *, show_reasoning: bool) -> AskResult:
    reasoning: list[str] = []
    answer: list[str] = []
    finish_reason = ""
    usage = Usage()
    async with launch.service(settings) as client:
        progress = _ProgressLine()
        async for chunk in client.stream(request):
            if chunk.progress is not None:
                progress.show(problems.progress_sentence(chunk.progress))
            if chunk.usage is not None:
                usage = chunk.usage
            for choice in chunk.choices:
                if choice.delta.reasoning:
                    reasoning.append(choice.delta.reasoning)
                    if show_reasoning:
                        progress.clear()
                        print(clean(choice.delta.reasoning), end="", file=sys.stderr, flush=True)
                answer.append(choice.delta.content or "")
                finish_reason = choice.finish_reason or finish_reason
        progress.clear()
        if show_reasoning and reasoning:
            print("\n", file=sys.stderr, flush=True)
        card = await client.model() or ModelCard(id="")
    return AskResult(
        question=question,
        reasoning="".join(reasoning).strip(),
        answer="".join(answer).strip(),
        finish_reason=finish_reason,
        usage=usage,
        model=card.id,
        demo=card.demo,
        known=corpus.is_known(question, ()) if card.demo else None,
    )


class _ProgressLine:
    """What the reply waits for, rewritten in place on a terminal's stderr; nothing in a pipe."""

    def __init__(self) -> None:
        self._shown = ""

    def show(self, text: str) -> None:
        """Show this instead of what was there."""
        if sys.stderr.isatty() and text != self._shown:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._shown = text

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = ""
