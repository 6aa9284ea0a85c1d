"""Plain mode: append-only lines, for screen readers, TERM=dumb and pipes. The same service, the same conversation.

stdout has the conversation; what is not part of it (loading, hints, failures) goes to stderr. A line ends a question;
a backslash at its end continues it.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial

from medgemma_tui import i18n, instructions, launch, problems
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.clinical import budget
from medgemma_tui.demo import corpus
from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import ChatRequest, ErrorInfo, ModelCard
from medgemma_tui.safetext import clean
from medgemma_tui.settings import Settings
from medgemma_tui.tui.conversation import Conversation, Turn
from medgemma_tui.tui.ledger import Ledger, mark_left
from medgemma_tui.tui.widgets import gpu_words

_say: Callable[..., None] = partial(print, flush=True)
_tell: Callable[..., None] = partial(print, flush=True, file=sys.stderr)

_COMMANDS = {
    "/help": N_("list the commands"),
    "/trace": N_("show or hide the reasoning"),
    "/new": N_("new patient: forget this conversation here and in the service"),
    "/again": N_("answer the last question again"),
    "/context": N_("how much of the context window is used"),
    "/status": N_("GPU, model and service"),
    "/quit": N_("leave"),
}


def run(settings: Settings) -> int:
    """Converse until the end of input or /quit. Returns the exit code: that of the last question where one failed."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            client = runner.run(stack.enter_async_context(launch.service(settings)))
            return _Session(settings, client, runner).converse()
        except ServiceError as error:
            _tell(problems.sentence(error.info))
            return problems.exit_code(error.info)
        finally:
            runner.run(stack.aclose())


class _Session:
    def __init__(self, settings: Settings, client: Client, runner: asyncio.Runner) -> None:
        self._settings = settings
        self._client = client
        self._runner = runner
        self._conversation = Conversation()
        self._show_trace = True
        self._model = ModelCard(id="")
        self._instructions = instructions.load(settings, i18n.language())
        self._ledger = Ledger(settings.max_tokens)

    def converse(self) -> ExitCode:
        """Read lines and act on them until they end."""
        if self._settings.uses_demo and launch.service_socket(self._settings) is None:
            _tell(_("DEMO, NOT MEDICAL"))
        _tell(_("Type a question and press Enter. /help lists the commands."))
        code = ExitCode.OK
        while (line := _read_question()) is not None:
            try:
                if line.startswith("/"):
                    if line == "/quit":
                        break
                    self._command(line)
                elif line:
                    code = ExitCode.OK
                    self._runner.run(self._ask(line))
            except ServiceError as error:
                _tell(problems.sentence(error.info))
                code = problems.exit_code(error.info)
            except KeyboardInterrupt:
                _say()
                _tell(problems.finish_sentence("cancelled"))
        return code

    def _command(self, line: str) -> None:
        name = line.split()[0]
        if name == "/trace":
            self._show_trace = not self._show_trace
            _tell(_("Reasoning is shown.") if self._show_trace else _("Reasoning is hidden."))
        elif name == "/new":
            self._conversation = Conversation()
            self._ledger.forget()
            self._runner.run(self._client.forget())
            _tell(_("The conversation was wiped here and in the service."))
        elif name == "/again":
            if self._conversation.turns:
                self._again()
            else:
                _tell(_("There is no question yet."))
        elif name == "/context":
            plan = self._runner.run(self._plan(""))
            _tell(
                _("Context: {used} of {window} tokens, {reserve} kept for the reply.").format(
                    used=f"{plan.used:,}", window=f"{plan.window:,}", reserve=f"{plan.reserve:,}"
                )
            )
        elif name == "/status":
            self._runner.run(self._status())
        elif name == "/help":
            for command, meaning in _COMMANDS.items():
                _tell(f"{command:<10} {_(meaning)}")
        else:
            _tell(_("There is no command {name}. /help lists the commands.").format(name=clean(name)))

    def _again(self) -> None:
        """Ask the last question again; where nothing comes of that, the turn stays as it was."""
        last = self._conversation.turns[-1]
        entries = [*self._conversation.entries]
        self._conversation.entries.remove(last)
        try:
            self._runner.run(self._ask(last.question))
        finally:
            again = self._conversation.turns[-1:]
            if len(self._conversation.entries) < len(entries) or not again[0].wrote:
                self._conversation.entries = entries

    async def _status(self) -> None:
        health = await self._client.health()
        _tell(problems.health_sentence(health) or _("Ready: {model}").format(model=clean(self._model.id)))
        async for sample in self._client.telemetry():
            for gpu in sample.gpus:
                total = f"{gpu.memory_total / 2**30:.1f}" if gpu.memory_total is not None else _("n/a")
                used = f"{gpu.memory_used / 2**30:.1f}" if gpu.memory_used is not None else _("n/a")
                lost = gpu.error is not None or gpu.error_code is not None
                state = gpu_words.nvml_sentence(gpu.error_code, gpu.error or "") if lost else f"{used}/{total} GiB"
                _tell(f"GPU {gpu.index}: {clean(gpu.name)}, {clean(state)}")
            if sample.nvml_error or sample.nvml_error_code:
                _tell(clean(gpu_words.nvml_sentence(sample.nvml_error_code, sample.nvml_error or "")))
            return

    async def _plan(self, draft: str) -> budget.BudgetPlan:
        """Count what a question would send, as exactly as the engine can tell, and mark the turns that do not fit."""
        while not self._ledger.settled(self._conversation, self._instructions, draft):
            wanted = self._ledger.request(self._conversation, self._instructions, draft)
            if wanted is None:
                break
            ticket, request = wanted
            self._ledger.take(ticket, await self._client.tokenize(request))
        plan = self._ledger.plan(self._conversation, self._instructions, draft)
        mark_left(self._conversation, plan.dropped_turns)
        return plan

    async def _ask(self, question: str) -> None:
        await self._wait_until_ready()
        plan = await self._plan(question)
        if not plan.fits:
            _tell(
                _(
                    "The question has {draft} tokens, {over} more than fit the window of {window}. It was not sent."
                ).format(draft=f"{plan.draft:,}", over=f"{plan.over_by:,}", window=f"{plan.window:,}")
            )
            return
        if plan.dropped_turns:
            _tell(_("The oldest {n} turns no longer fit and are not sent.").format(n=plan.dropped_turns))
        previous = self._conversation.questions_before()
        turn = Turn(question, datetime.now().astimezone())
        turn.unknown_to_demo = self._model.demo and not corpus.is_known(question, previous)
        request = ChatRequest(
            messages=self._conversation.messages(self._instructions, question),
            thinking=self._settings.thinking,
            thinking_budget=self._settings.thinking_budget,
            max_tokens=plan.reserve,
            temperature=self._settings.temperature,
            wait=True,
        )
        self._conversation.entries.append(turn)
        try:
            await self._stream(turn, request)
        except asyncio.CancelledError:
            turn.finish_reason = "cancelled"
            raise
        finally:
            turn.state = "done"

    async def _stream(self, turn: Turn, request: ChatRequest) -> None:
        lines = _Lines()
        async for chunk in self._client.stream(request):
            turn.usage = chunk.usage or turn.usage
            for choice in chunk.choices:
                if choice.delta.reasoning:
                    if not turn.reasoning and self._show_trace:
                        _say(_("Reasoning:"))
                    turn.state, turn.reasoning = "reasoning", turn.reasoning + choice.delta.reasoning
                    if self._show_trace:
                        lines.write(choice.delta.reasoning)
                if choice.delta.content:
                    if not turn.answer:
                        lines.end()
                        label = _("Answer, DEMO, NOT MEDICAL:") if self._model.demo else _("Answer:")
                        _say(label)
                    turn.state, turn.answer = "answering", turn.answer + choice.delta.content
                    lines.write(choice.delta.content)
                turn.finish_reason = choice.finish_reason or turn.finish_reason
        lines.end()
        if turn.finish_reason not in ("stop", None):
            _tell(problems.finish_sentence(turn.finish_reason or ""))
        if turn.unknown_to_demo:
            _tell(problems.demo_does_not_know())

    async def _wait_until_ready(self) -> None:
        """Wait while the model loads, telling how far it is. Raises ServiceError when it cannot become ready."""
        shown = ""
        while (health := await self._client.health()).status != "ok":
            if health.reason in ("model_invalid", "failed"):
                raise ServiceError(
                    503, ErrorInfo(type=health.reason, message=health.detail, code=health.code, params=health.params)
                )
            text = problems.health_sentence(health)
            if text != shown and (not shown or (health.percent or 0) % 25 < 5):
                _tell(text)
                shown = text
            await asyncio.sleep(0.25)
        self._model = health.model or self._model


class _Lines:
    """Text that comes in pieces, printed in whole lines or sentences, which is how a screen reader wants it."""

    _COMPLETE = re.compile(r"(?s).*(?:\n|[。！？；]|[.!?] )")

    def __init__(self) -> None:
        self._held = ""
        self._fresh = True  # at the start of a line

    def write(self, text: str) -> None:
        """Take a piece; print what is complete."""
        self._held += clean(text)
        complete = self._COMPLETE.match(self._held)
        if complete:
            self._print(complete.group())

    def end(self) -> None:
        """Print what is left, and end the line."""
        self._print(self._held)
        if not self._fresh:
            _say()
            self._fresh = True

    def _print(self, text: str) -> None:
        self._held = self._held[len(text) :]
        if text:
            _say(text, end="")
            self._fresh = text.endswith("\n")


def _read_question() -> str | None:
    """The next question from standard input, None at its end."""
    parts: list[str] = []
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            if sys.stdin.isatty():
                _tell()  # the prompt's line ends here
            return "\n".join(parts) if parts else None
        except KeyboardInterrupt:
            _tell()
            _tell(_("Type /quit to leave."))
            return ""
        if not line.endswith("\\"):
            parts.append(line)
            return "\n".join(parts).strip()
        parts.append(line[:-1])
