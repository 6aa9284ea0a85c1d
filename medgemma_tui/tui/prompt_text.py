"""What the model was given for one turn, as a text to read: how it was asked, and every message letter for letter."""

from __future__ import annotations

from collections.abc import Iterator

from medgemma_tui import clinical_words
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.safetext import clean, clean_line
from medgemma_tui.tui.conversation import Sent, Turn, pinned

_LONGEST = 60


def prompt_text(turn: Turn) -> str:
    """The text; empty where nothing was sent."""
    sent = turn.sent
    if sent is None:
        return ""
    return "\n\n".join([*_head(turn, sent), *_messages(turn, sent)])


def _head(turn: Turn, sent: Sent) -> Iterator[str]:
    request = sent.request
    rows = [
        (_("Model"), clean_line(turn.model) or _("unknown")),
        (_("Quantisation"), clean_line(sent.quantization) or _("unknown")),
        (_("Temperature"), _temperature(request.temperature)),
        (_("Reasoning"), _reasoning(request.thinking)),
        (_("Four parts"), " · ".join(request.sections) if request.sections else _("not asked for")),
        (_("Reply at most"), _("{n} tok").format(n=f"{request.max_tokens or 0:,}")),
    ]
    if turn.usage is not None:
        cached = turn.usage.prompt_tokens_details.cached_tokens
        count = _("{n} tok").format(n=f"{turn.usage.prompt_tokens:,}")
        again = _("{n} of them read before").format(n=f"{cached:,}")
        rows.append((_("Read by the model"), f"{count} · {again}" if cached else count))
    yield "\n".join(_("{name}: {value}").format(name=name, value=value) for name, value in rows)
    yield "\n".join(
        [
            _("For qualified clinicians. It supports a decision and does not make it: check every answer before use."),
            clinical_words.verify(),
        ]
    )
    if sent.left:
        lines = [_left(len(sent.left))]
        lines += [f"  - {_short(question)}" for question in sent.left]
        yield "\n".join(lines)


def _temperature(value: float | None) -> str:
    shown = f"{value or 0:g}"
    return shown if value else _("{value} (greedy: the same question gives the same answer)").format(value=shown)


def _reasoning(mode: str) -> str:
    return {"force": _("always"), "skip": _("skipped, less safe")}.get(mode, _("the model decides"))


def _left(count: int) -> str:
    return ngettext(
        "Not sent, since the window is full: {n} earlier turn", "Not sent, since the window is full: {n} earlier turns",
        count,
    ).format(n=count)  # fmt: skip


def _messages(turn: Turn, sent: Sent) -> Iterator[str]:
    """The messages in their order; the parts of the system text and of the question are told apart."""
    number = 0
    for message in sent.request.messages:
        if message.role == "system":
            yield _part(_("Instructions"), sent.instructions)
            if sent.card.strip():
                yield _part(_("Patient card"), pinned(sent.card))
            continue
        if message is sent.request.messages[-1]:
            yield _part(_("This question"), message.text)
            if turn.given != turn.question:
                yield _("The last line was added by the program: standard terms of what was written.")
        elif message.role == "user":
            number += 1
            yield _part(_("Earlier question {n}").format(n=number), message.text)
        else:
            yield _part(_("Its answer, without the reasoning"), message.text)


def _part(name: str, text: str) -> str:
    return f"[{name}]\n{clean(text).strip()}"


def _short(text: str) -> str:
    line = clean_line(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
