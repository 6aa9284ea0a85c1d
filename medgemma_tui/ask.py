"""``medgemma-tui ask``: one question, the answer on stdout, the reasoning on stderr, or both in one JSON object."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from medgemma_tui import i18n, instructions, launch, problems
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.demo import corpus
from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import _
from medgemma_tui.protocol import ChatMessage, ChatRequest, ErrorBody, ErrorInfo, ModelCard, Usage
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


class AskFailure(ErrorBody):
    """What ``ask --json`` prints where the reply broke off: the error, and what had arrived."""

    question: str
    reasoning: str
    answer: str


@dataclass(slots=True)
class _Reply:
    """What has arrived. It is kept apart from the asking, which may end anywhere."""

    reasoning: str = ""
    answer: str = ""
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    card: ModelCard | None = None


def run(settings: Settings, question: str, *, as_json: bool, seed: int | None = None) -> int:
    """Ask and print. Returns the exit code; a failure is a sentence on stderr (and an error object with ``--json``).

    What had arrived before a failure, or before Ctrl+C, is printed all the same.
    """
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
    reply = _Reply()
    try:
        asyncio.run(_ask(settings, request, reply, plainly=not as_json))
    except ServiceError as error:
        failure = error.info
    except KeyboardInterrupt:
        failure = ErrorInfo(type="cancelled", message="interrupted")
    else:
        return _print_whole(question, reply, as_json=as_json)
    reasoning, answer = reply.reasoning.strip(), reply.answer.strip()
    if as_json:
        _print_json(AskFailure(error=failure, question=question, reasoning=reasoning, answer=answer))
    elif answer:
        print(clean(answer), flush=True)
    cancelled = failure.type == "cancelled"
    print(problems.finish_sentence("cancelled") if cancelled else problems.sentence(failure), file=sys.stderr)
    return problems.exit_code(failure)


def _print_whole(question: str, reply: _Reply, *, as_json: bool) -> ExitCode:
    card = reply.card or ModelCard(id="")
    result = AskResult(
        question=question,
        reasoning=reply.reasoning.strip(),
        answer=reply.answer.strip(),
        finish_reason=reply.finish_reason,
        usage=reply.usage,
        model=card.id,
        demo=card.demo,
        known=corpus.is_known(question, ()) if card.demo else None,
    )
    if as_json:
        _print_json(result)
    elif result.answer:
        print(clean(result.answer), flush=True)
    if result.finish_reason != "stop":
        print(problems.finish_sentence(result.finish_reason), file=sys.stderr)
    if not result.answer:
        print(problems.no_answer(), file=sys.stderr)
    if result.known is False and not as_json:
        print(problems.demo_does_not_know(), file=sys.stderr)
    return problems.finish_exit_code(result.finish_reason, result.answer)


def _print_json(document: BaseModel) -> None:
    """One line of JSON, which is UTF-8 in every locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    print(escape_json(document.model_dump_json(exclude_none=True)), flush=True)


async def _ask(settings: Settings, request: ChatRequest, reply: _Reply, *, plainly: bool) -> None:
    """Ask, and put what arrives into ``reply``. ``plainly``: reasoning and the demo's label go to stderr as they come.

    Raises ServiceError.
    """
    async with launch.service(settings) as client:
        progress = _ProgressLine()
        try:
            async with contextlib.aclosing(client.stream(request)) as chunks:
                async for chunk in chunks:
                    if chunk.progress is not None:
                        progress.show(problems.progress_sentence(chunk.progress))
                    if chunk.usage is not None:
                        reply.usage = chunk.usage
                    for choice in chunk.choices:
                        if reply.card is None:  # while it certainly is there: the worker may be lost before the end
                            reply.card = await _card(client)
                            if plainly and reply.card is not None and reply.card.demo:
                                progress.clear()
                                print(_("DEMO, NOT MEDICAL"), file=sys.stderr, flush=True)
                        if choice.delta.reasoning:
                            reply.reasoning += choice.delta.reasoning
                            if plainly:
                                progress.clear()
                                print(clean(choice.delta.reasoning), end="", file=sys.stderr, flush=True)
                        reply.answer += choice.delta.content or ""
                        reply.finish_reason = choice.finish_reason or reply.finish_reason
        finally:
            progress.clear()
            if plainly and reply.reasoning:
                print("\n", file=sys.stderr, flush=True)


async def _card(client: Client) -> ModelCard | None:
    """The model that answers. That it could not be asked for takes nothing from the answer."""
    with contextlib.suppress(ServiceError):
        return await client.model()
    return None


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
