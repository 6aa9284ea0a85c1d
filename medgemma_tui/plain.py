"""Plain mode: append-only lines, for screen readers, TERM=dumb and pipes. The same service, the same conversation.

stdout has the conversation; what is not part of it (loading, hints, failures) goes to stderr. A line ends a question;
a backslash at its end continues it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

from medgemma_tui import (
    asking,
    events,
    i18n,
    instructions,
    launch,
    memory_told,
    plain_idle,
    plain_ready,
    plain_words,
    problems,
)
from medgemma_tui import clinical_words as words
from medgemma_tui.analyze import review_lines
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.clinical import budget
from medgemma_tui.clinical.card import card_text, merge
from medgemma_tui.clinical.deidentify import find_identifiers, mask
from medgemma_tui.clinical.entities import find_entities
from medgemma_tui.clinical.findings import Review
from medgemma_tui.clinical.review import review
from medgemma_tui.clinical.textform import question_language
from medgemma_tui.demo import corpus
from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import _
from medgemma_tui.plain_lines import Lines, read_question
from medgemma_tui.plain_lines import say as _say
from medgemma_tui.plain_lines import tell as _tell
from medgemma_tui.plain_privacy import Notice
from medgemma_tui.protocol import ChatRequest, EventBody, ModelCard
from medgemma_tui.safetext import clean
from medgemma_tui.settings import Settings
from medgemma_tui.tui.conversation import Conversation, Turn
from medgemma_tui.tui.ledger import Ledger, mark_left


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
        self._privacy = Notice()
        self._conversation = Conversation()
        self._card_is_theirs = False  # the person wrote or emptied it: the program changes it no more
        self._show_trace = True
        self._model = ModelCard(id="")
        self._instructions = instructions.load(settings, i18n.language())
        self._ledger = Ledger(settings.max_tokens, cap=settings.context_window)
        self._held = ""  # a question that waits for the person to decide about its identifiers
        self._given: ChatRequest | None = None
        self._review = Review()
        self._code = ExitCode.OK
        self._by_staff = launch.service_socket(settings) is not None

    def converse(self) -> ExitCode:
        """Read lines and act on them until they end."""
        if self._settings.uses_demo and launch.service_socket(self._settings) is None:
            _tell(_("DEMO, NOT MEDICAL"))
        _tell(words.verify())
        self._runner.run(self._privacy.tell(self._client))
        _tell(_("Type a question and press Enter. /help lists the commands."))
        _tell(plain_idle.words_at_start(self._settings.lock_after_s))
        self._report(EventBody(event="login", outcome="ok"))
        try:
            return self._converse()
        finally:
            self._report(EventBody(event="logout", outcome="ok"))

    def _converse(self) -> ExitCode:
        while (line := self._read()) is not None:
            try:
                if line.startswith("/"):
                    if line == "/quit":
                        break
                    self._command(line)
                elif line:
                    self._take(line)
            except ServiceError as error:
                _tell(problems.sentence(error.info))
                for told in self._runner.run(memory_told.lines(self._client, error.info, by_staff=self._by_staff)):
                    _tell(told)
                self._code = problems.exit_code(error.info)
            except KeyboardInterrupt:
                _say()
                _tell(problems.finish_sentence("cancelled"))
        return self._code

    def _read(self) -> str | None:
        with plain_idle.watched(self._settings.lock_after_s, self._forget_unattended):
            return read_question()

    def _forget_unattended(self) -> None:
        if not self._conversation.entries and not self._conversation.card and not self._held:
            return
        self._forget()
        self._report(EventBody(event="lock", outcome="wiped"))
        with contextlib.suppress(ServiceError):
            self._runner.run(self._client.leave())
        _tell(plain_idle.words_when_forgotten())

    def _report(self, event: EventBody) -> None:
        self._runner.run(events.report(self._client, event))

    def _command(self, line: str) -> None:
        name, *rest = line.split(maxsplit=1)
        actions: dict[str, Callable[[], None]] = {
            "/trace": self._toggle_trace,
            "/new": self._new_patient,
            "/again": self._again,
            "/card": lambda: self._card(rest[0] if rest else ""),
            "/marks": lambda: _tell("\n".join(review_lines(self._review))),
            "/prompt": self._prompt,
            "/mask": lambda: self._decide(masked=True),
            "/send": lambda: self._decide(masked=False),
            "/context": self._context,
            "/status": lambda: self._runner.run(self._status()),
            "/help": lambda: _tell("\n".join(plain_words.help_lines())),
        }
        if name in actions:
            actions[name]()
        else:
            _tell(_("There is no command {name}. /help lists the commands.").format(name=clean(name)))

    def _toggle_trace(self) -> None:
        self._show_trace = not self._show_trace
        _tell(_("Reasoning is shown.") if self._show_trace else _("Reasoning is hidden."))

    def _forget(self) -> None:
        self._conversation = Conversation()
        self._ledger.forget()
        self._held, self._given, self._review, self._card_is_theirs = "", None, Review(), False

    def _new_patient(self) -> None:
        self._forget()
        self._runner.run(self._client.forget())
        _tell(_("The conversation was wiped here and in the service."))

    def _context(self) -> None:
        plan = self._runner.run(self._plan(""))
        _tell(
            _("Context: {used} of {window} tokens, {reserve} kept for the reply.").format(
                used=f"{plan.used:,}", window=f"{plan.window:,}", reserve=f"{plan.reserve:,}"
            )
        )

    # --- the guard ---

    def _take(self, question: str) -> None:
        """Ask a question, if the site's policy for identifiers lets it go; else hold it or refuse it."""
        question = clean(question)
        if self._held:
            self._drop_held()
        found = find_identifiers(question)
        if not found:
            self._send(question)
            return
        told = words.identifiers_found(found)
        if self._settings.identifiers == "mask":
            self._report(events.guard(found, "masked"))
            _tell(words.sentences(told, _("It was masked before the question was sent.")))
            self._send(mask(question, found))
        else:
            self._held = question
            if self._settings.identifiers == "block":
                choice = _("This site sends it masked or not at all: /mask sends it masked, another question drops it.")
            else:
                choice = _("Not sent yet: /mask sends it masked, /send sends it as it is, another question drops it.")
            _tell(words.sentences(told, choice))
            self._code = ExitCode.USAGE  # unless it is decided before the input ends

    def _drop_held(self) -> None:
        blocked = self._settings.identifiers == "block"
        self._report(events.guard(find_identifiers(self._held), "blocked" if blocked else "edited"))
        self._held = ""
        _tell(_("The question that waited was dropped."))

    def _decide(self, *, masked: bool) -> None:
        """Send the question that waits."""
        if not self._held:
            _tell(_("No question waits."))
            return
        if not masked and self._settings.identifiers == "block":
            _tell(_("This site sends it masked or not at all: /mask sends it masked, another question drops it."))
            return
        question, self._held = self._held, ""
        found = find_identifiers(question)
        self._report(events.guard(found, "masked" if masked else "sent"))
        self._send(mask(question, found) if masked else question)

    def _send(self, question: str) -> None:
        self._code = ExitCode.OK
        self._runner.run(self._ask(question))

    # --- the patient card and what the model is given ---

    def _card(self, text: str) -> None:
        """Show the card, or change it. What could tell who the patient is does not get into it."""
        if text:
            self._card_is_theirs = True
            found = find_identifiers(text)
            if found:
                self._report(events.guard(found, "masked"))
                _tell(words.sentences(words.identifiers_found(found), _("It was masked in the card.")))
            self._conversation.card = "" if text == "-" else mask(clean(text), found)
        card = self._conversation.card
        _tell(_("Patient card: {card}").format(card=card) if card else _("The patient card is empty."))

    def _fill_card(self, turn: Turn) -> None:
        """Make the card of the first answered question's facts."""
        if self._card_is_theirs or self._conversation.card:
            return
        card = _facts(turn)
        if card:
            self._conversation.card = card
            _tell(_("Patient card, sent with every question from now on: {card}").format(card=clean(card)))
            _tell(_("/card TEXT changes it, /card - empties it."))

    def _take_up(self, leaving: int) -> bool:
        """Add the facts of the oldest turns, which are about to leave, to the card. True where it changed."""
        if self._card_is_theirs:
            return False
        card = self._conversation.card
        for turn in [each for each in self._conversation.turns if each.answer.strip()][:leaving]:
            card = merge(card, _facts(turn))
        changed = card != self._conversation.card
        self._conversation.card = card
        return changed

    def _prompt(self) -> None:
        """Exactly what the model was given for the last question."""
        if self._given is None:
            _tell(_("The model has not been given anything yet."))
            return
        for message in self._given.messages:
            _tell(f"[{message.role}]\n{clean(message.text)}\n")
        if self._given.sections:
            parts = i18n.own(" · ".join(self._given.sections))
            _tell(_("The answer had to have these parts: {parts}").format(parts=parts))
        left = sum(1 for turn in self._conversation.turns if turn.left_context)
        if left:
            _tell(_("The oldest {n} turns no longer fit and are not sent.").format(n=left))

    def _again(self) -> None:
        """Ask the last question again; where nothing comes of that, the turn stays as it was."""
        if not self._conversation.turns:
            _tell(_("There is no question yet."))
            return
        last = self._conversation.turns[-1]
        entries = [*self._conversation.entries]
        self._conversation.entries.remove(last)
        try:
            self._send(last.question)
        finally:
            again = self._conversation.turns[-1:]
            if len(self._conversation.entries) < len(entries) or not again[0].wrote:
                self._conversation.entries = entries

    async def _status(self) -> None:
        health = await self._client.health()
        _tell(problems.health_sentence(health) or _("Ready: {model}").format(model=clean(self._model.id)))
        async for sample in self._client.telemetry():
            _tell("\n".join(plain_words.card_lines(sample)))
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
        asked = asking.prepare(
            question,
            sections=self._settings.sections,
            known=find_entities(self._conversation.card) if self._conversation.card else (),
        )
        plan = await self._plan(asked.prompt)
        if plan.dropped_turns and self._take_up(plan.dropped_turns):
            plan = await self._plan(asked.prompt)
        if not plan.fits:
            _tell(
                _(
                    "The question has {draft} tokens, {over} more than fit the window of {window}. It was not sent."
                ).format(draft=f"{plan.draft:,}", over=f"{plan.over_by:,}", window=f"{plan.window:,}")
            )
            return
        if plan.dropped_turns:
            _tell(_("The oldest {n} turns no longer fit and are not sent.").format(n=plan.dropped_turns))
        for line in (*words.question_notes(asked.analysis), asked.terms_line):
            if line:
                _tell(clean(line))
        turn = Turn(question, datetime.now().astimezone(), prompt=asked.prompt)
        turn.analysis, turn.sections = asked.analysis, asked.sections
        before, card = self._conversation.questions_before(), self._conversation.card
        turn.unknown_to_demo = self._model.demo and not corpus.is_known(question, before, card)
        self._given = ChatRequest(
            messages=self._conversation.messages(self._instructions, asked.prompt),
            thinking=self._settings.thinking,
            thinking_budget=self._settings.thinking_budget,
            max_tokens=plan.reserve,
            temperature=self._settings.temperature,
            sections=asked.sections,
            wait=True,
        )
        self._conversation.entries.append(turn)
        try:
            await self._stream(turn, self._given)
        except asyncio.CancelledError:
            turn.finish_reason = "cancelled"
            raise
        finally:
            turn.state = "done"
            self._review = self._reviewed(turn)
        self._tell_of_reply(turn)

    async def _stream(self, turn: Turn, request: ChatRequest) -> None:
        lines = Lines()
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
                        if summary := words.trace_summary(self._reviewed(turn)) if turn.reasoning.strip() else "":
                            _tell(summary)
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

    # --- what can be checked in a reply ---

    def _reviewed(self, turn: Turn) -> Review:
        """The marks of a reply. A number counts as given where the card or any question so far has it."""
        given = [self._conversation.card, *(each.question for each in self._conversation.turns)]
        return review("\n".join(given), clean(turn.reasoning), clean(turn.answer))

    def _tell_of_reply(self, turn: Turn) -> None:
        if turn.answer.strip():
            for line in plain_words.answer_lines(turn, self._review):
                _tell(line)
            self._fill_card(turn)

    async def _wait_until_ready(self) -> None:
        """Wait while the model loads. Raises ServiceError when it cannot become ready."""
        health = await plain_ready.wait_until_ready(self._client, _tell, by_staff=self._by_staff)
        self._model = health.model or self._model
        await self._privacy.tell(self._client)


def _facts(turn: Turn) -> str:
    if turn.analysis is None:
        return ""
    return card_text(turn.question, turn.analysis, question_language(turn.question))
