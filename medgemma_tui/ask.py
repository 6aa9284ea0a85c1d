"""``medgemma-tui ask``: one question, the answer on stdout, the reasoning on stderr, or both in one JSON object."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from pydantic import BaseModel, ConfigDict

from medgemma_tui import asking, events, fitness_words, i18n, instructions, launch, memory_told, problems
from medgemma_tui import clinical_words as words
from medgemma_tui.asking import Asking
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.clinical.findings import Identifier, IdentifierKind
from medgemma_tui.clinical.review import review
from medgemma_tui.demo import corpus
from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import _
from medgemma_tui.progress_line import ProgressLine
from medgemma_tui.protocol import ChatMessage, ChatRequest, ErrorBody, ErrorInfo, EventBody, Fitness, ModelCard, Usage
from medgemma_tui.protocol.analysis import AnalysisObject, ReviewObject
from medgemma_tui.safetext import clean, escape_json
from medgemma_tui.settings import Settings

_FITNESS_S = 2.0
"""Seconds at most for which the verdict of the last health run is waited for; it is there at once."""


class GuardObject(BaseModel):
    """What the guard did with identifiers in the question. ``kinds``: which kinds there were, each once."""

    model_config = ConfigDict(frozen=True)

    action: Literal["none", "warned", "masked", "blocked"]
    kinds: list[IdentifierKind]


class SentMessage(BaseModel):
    """A message as the model was given it."""

    role: str
    content: str


class _Asked(BaseModel):
    """What both outcomes tell of the question.

    ``question`` is the one that counts: where the guard masked it, with the masks, and ``analysis`` is of that.
    ``messages`` is what the model was given, none where nothing was sent; ``sections`` the headings that the answer
    had to have.
    """

    model_config = ConfigDict(frozen=True)

    question: str
    guard: GuardObject
    analysis: AnalysisObject
    messages: list[SentMessage]
    sections: list[str]


class AskResult(_Asked):
    """What ``ask --json`` prints; the field names are stable.

    ``finish_reason`` is a worker ``FinishReason`` value. ``known`` is None unless the demo model answered: then it
    says whether the question is in its corpus.
    """

    reasoning: str
    answer: str
    finish_reason: str
    usage: Usage
    model: str
    demo: bool
    known: bool | None = None
    review: ReviewObject


class AskFailure(ErrorBody, _Asked):
    """What ``ask --json`` prints where the reply broke off: the error, and what had arrived."""

    reasoning: str
    answer: str
    review: ReviewObject


@dataclass(slots=True)
class _Reply:
    """What has arrived. It is kept apart from the asking, which may end anywhere."""

    reasoning: str = ""
    answer: str = ""
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    card: ModelCard | None = None
    memory_help: list[str] = field(default_factory=list)
    """Where memory ran out: lines about who holds it and what would fit."""


def run(settings: Settings, question: str, *, as_json: bool, seed: int | None = None) -> int:
    """Ask and print. Returns the exit code; a failure is a sentence on stderr (and an error object with ``--json``).

    What had arrived before a failure, or before Ctrl+C, is printed all the same. Raises TableError where a list of the
    clinical layer cannot be used.
    """
    question = clean(question).strip()
    if not question:
        print(_("There is no question: give it as an argument, or with - on standard input."), file=sys.stderr)
        return ExitCode.USAGE
    asked = asking.prepare(question, sections=settings.sections)
    guard = _guard(asked, settings)
    fired = _event(guard, asked.identifiers)
    if guard.action == "blocked":
        _report_blocked(settings, fired)
        if as_json:
            failure = ErrorInfo(type="identifiers", message=_not_sent(asked.identifiers), code="identifiers")
            _print_json(AskFailure(error=failure, **_fields(asked, guard, None), **_reviewed(asked, _Reply())))
        return ExitCode.USAGE
    if guard.action == "masked":
        asked = asking.prepare(asked.masked, sections=settings.sections)
    if not as_json:
        _tell_of_question(asked)
    request = ChatRequest(
        messages=[
            ChatMessage(role="system", content=instructions.load(settings, i18n.language())),
            ChatMessage(role="user", content=asked.prompt),
        ],
        thinking=settings.thinking,
        thinking_budget=settings.thinking_budget,
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        seed=seed,
        sections=asked.sections,
        wait=True,
    )
    reply = _Reply()
    try:
        asyncio.run(_ask(settings, request, reply, fired, plainly=not as_json))
    except ServiceError as error:
        failure = error.info
    except KeyboardInterrupt:
        failure = ErrorInfo(type="cancelled", message="interrupted")
    else:
        return _print_whole(asked, guard, request, reply, as_json=as_json)
    if as_json:
        _print_json(AskFailure(error=failure, **_fields(asked, guard, request), **_reviewed(asked, reply)))
    elif reply.answer.strip():
        print(clean(reply.answer.strip()), flush=True)
    cancelled = failure.type == "cancelled"
    print(problems.finish_sentence("cancelled") if cancelled else problems.sentence(failure), file=sys.stderr)
    for line in reply.memory_help:
        print(line, file=sys.stderr)
    return problems.exit_code(failure)


# --- the question ---


def _guard(asked: Asking, settings: Settings) -> GuardObject:
    """What the site's policy does with this question; what it found is told on stderr, its kinds and never its text."""
    found = asked.identifiers
    if not found:
        return GuardObject(action="none", kinds=[])
    told = words.identifiers_found(found)
    action: Literal["warned", "masked", "blocked"]
    if settings.identifiers == "block":
        action, sentence = "blocked", _not_sent(found)
    elif settings.identifiers == "mask":
        action = "masked"
        sentence = words.sentences(told, _("It was masked before the question was sent."))
    else:
        action = "warned"
        sentence = words.sentences(told, _("It is sent as it is; --identifiers mask masks it."))
    print(sentence, file=sys.stderr, flush=True)
    return GuardObject(action=action, kinds=list(dict.fromkeys(each.kind for each in found)))


def _event(guard: GuardObject, found: tuple[Identifier, ...]) -> EventBody | None:
    """For the audit log, where the guard fired."""
    if guard.action == "none":
        return None
    return events.guard(found, "sent" if guard.action == "warned" else guard.action)


def _report_blocked(settings: Settings, fired: EventBody | None) -> None:
    """Tell a service that is there; none is started for a question that is not sent."""
    socket = launch.service_socket(settings)
    if socket is None or fired is None:
        return

    async def tell() -> None:
        async with Client(socket) as client:
            await events.report(client, fired)

    asyncio.run(tell())


def _not_sent(found: tuple[Identifier, ...]) -> str:
    told = _("This site does not send such questions. Nothing was sent; take it out and ask again.")
    return words.sentences(words.identifiers_found(found), told)


def _tell_of_question(asked: Asking) -> None:
    """What was noticed in the question, and the line of standard terms that the model is given with it."""
    for line in (*words.question_notes(asked.analysis), asked.terms_line):
        if line:
            print(clean(line), file=sys.stderr, flush=True)


# --- the reply ---


def _print_whole(asked: Asking, guard: GuardObject, request: ChatRequest, reply: _Reply, *, as_json: bool) -> ExitCode:
    card = reply.card or ModelCard(id="")
    result = AskResult(
        **_fields(asked, guard, request),
        **_reviewed(asked, reply),
        finish_reason=reply.finish_reason,
        usage=reply.usage,
        model=card.id,
        demo=card.demo,
        known=corpus.is_known(asked.question, ()) if card.demo else None,
    )
    if as_json:
        _print_json(result)
    else:
        _print_plainly(asked, result)
    if result.finish_reason != "stop":
        print(problems.finish_sentence(result.finish_reason), file=sys.stderr)
    if not result.answer:
        print(problems.no_answer(), file=sys.stderr)
    if result.known is False and not as_json:
        print(problems.demo_does_not_know(), file=sys.stderr)
    return problems.finish_exit_code(result.finish_reason, result.answer)


def _print_plainly(asked: Asking, result: AskResult) -> None:
    """The answer on stdout; around it, on stderr, what a person who judges it should see."""
    found = review(asked.question, result.reasoning, result.answer)
    summary = words.trace_summary(found)
    if summary:
        print(summary, file=sys.stderr, flush=True)
    if not result.answer:
        return
    print(clean(result.answer), flush=True)
    after = [
        words.missing_sections(found.sections) if asked.sections else "",
        words.prescription() if asked.analysis.coaching.question_kind == "conduct" else "",
        words.verify(),
    ]
    print("\n".join(line for line in after if line), file=sys.stderr, flush=True)


class _Fields(TypedDict):
    question: str
    guard: GuardObject
    analysis: AnalysisObject
    messages: list[SentMessage]
    sections: list[str]


class _Reviewed(TypedDict):
    reasoning: str
    answer: str
    review: ReviewObject


def _fields(asked: Asking, guard: GuardObject, request: ChatRequest | None) -> _Fields:
    messages = request.messages if request is not None else []
    return _Fields(
        question=asked.question,
        guard=guard,
        analysis=AnalysisObject.of(asked.analysis, words.hint(asked.analysis.coaching)),
        messages=[SentMessage(role=message.role, content=message.text) for message in messages],
        sections=asked.sections or [],
    )


def _reviewed(asked: Asking, reply: _Reply) -> _Reviewed:
    reasoning, answer = reply.reasoning.strip(), reply.answer.strip()
    found = review(asked.question, reasoning, answer)
    return _Reviewed(reasoning=reasoning, answer=answer, review=ReviewObject.of(found))


def _print_json(document: AskResult | AskFailure) -> None:
    """One line of JSON, which is UTF-8 in every locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    told = document.model_dump(mode="json", exclude_none=True)
    told["analysis"] = document.analysis.model_dump(mode="json")  # where every key is always there
    print(escape_json(json.dumps(told, ensure_ascii=False, separators=(",", ":"))), flush=True)


async def _ask(
    settings: Settings, request: ChatRequest, reply: _Reply, fired: EventBody | None, *, plainly: bool
) -> None:
    """Ask, and put what arrives into ``reply``. ``plainly``: reasoning and the demo's label go to stderr as they come.
    ``fired``: what the guard did, for the audit log.

    Raises ServiceError.
    """
    async with launch.service(settings) as client:
        if fired is not None:
            await events.report(client, fired)
        verdict = _Verdict()
        following = asyncio.create_task(verdict.follow(client))  # beside the question, which it does not hold up
        progress = ProgressLine()
        try:
            async with contextlib.aclosing(client.stream(request)) as chunks:
                async for chunk in chunks:
                    if chunk.progress is not None:
                        progress.show(problems.progress_sentence(chunk.progress))
                    if chunk.usage is not None:
                        reply.usage = chunk.usage
                    for choice in chunk.choices:
                        if reply.card is None:  # while it certainly is there: the worker may be lost before the end
                            reply.card, told = await asyncio.gather(_card(client), verdict.unfit())
                            if told:
                                progress.clear()
                                print(told, file=sys.stderr, flush=True)
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
        except ServiceError as error:
            progress.clear()
            by_staff = launch.service_socket(settings) is not None
            reply.memory_help = await memory_told.lines(client, error.info, by_staff=by_staff)
            raise
        finally:
            following.cancel()
            progress.clear()
            if plainly and reply.reasoning:
                print("\n", file=sys.stderr, flush=True)


class _Verdict:
    """The newest verdict of the box's health runs. A service that has only just started looks at its reports after its
    first figures, so these alone do not tell that nobody found anything.
    """

    def __init__(self) -> None:
        self._fitness: Fitness | None = None
        self._heard = asyncio.Event()

    async def follow(self, client: Client) -> None:
        """Listen until cancelled; a service that gives no figures has no verdict."""
        with contextlib.suppress(ServiceError):
            async with contextlib.aclosing(client.telemetry()) as samples:
                async for sample in samples:
                    self._fitness = sample.service.fitness
                    self._heard.set()
        self._heard.set()

    async def unfit(self) -> str:
        """That the box is not fit, in words; empty where it is, nobody knows, or the question is refused for it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FITNESS_S):
                await self._heard.wait()
        refuses = self._fitness is not None and self._fitness.refuses
        return "" if refuses else fitness_words.unfit(self._fitness, fitness_words.COMMAND)


async def _card(client: Client) -> ModelCard | None:
    """The model that answers. That it could not be asked for takes nothing from the answer."""
    with contextlib.suppress(ServiceError):
        return await client.model()
    return None
