"""Memory help in words, for the screen, plain mode and ``ask``: what is needed, who holds it, what would fit.

Names of users and programs are made safe here.
"""

from __future__ import annotations

from medgemma_tui import i18n
from medgemma_tui.clinical_words import sentences
from medgemma_tui.i18n import N_, _, ngettext
from medgemma_tui.protocol import ErrorInfo, GpuProcess, Health
from medgemma_tui.protocol.memory import (
    MemoryChoice,
    MemoryHelp,
    MemoryNote,
    MemoryPartName,
    MemoryUnknown,
)
from medgemma_tui.safetext import clean_line

_PARTS: dict[MemoryPartName, str] = {
    "weights": N_("weights"),
    "conversations": N_("conversations"),
    "attention": N_("reading a full prompt"),
    "recorded_steps": N_("recorded steps"),
    "working": N_("working memory"),
    "context": N_("CUDA itself"),
}

_UNKNOWN: dict[MemoryUnknown, str] = {
    "no_figures": N_("The card does not tell how much is free and who holds it, so nothing can be reckoned."),
    "mig": N_("The card is split into MIG instances; what the model's instance has free is not told, so nothing can be "
              "reckoned."),
    "model": N_("The model's directory cannot be read, so what it needs is not known."),
    "engine": N_("Another engine answers on this box; what it needs is for its own settings to say."),
}  # fmt: skip

_FIT_CODES = ("does_not_fit", "too_small_gpu")
GIB, MIB = 1 << 30, 1 << 20


def concerns(about: Health | ErrorInfo) -> bool:
    """Whether this state or failure is one of memory: then memory help has something to say."""
    kind = about.reason if isinstance(about, Health) else about.type
    return kind == "out_of_memory" or (kind == "model_invalid" and about.code in _FIT_CODES)


def advised(text: str, about: Health | ErrorInfo, way: str) -> str:
    """A sentence of a state or failure; of one of memory with the ``way`` to the help."""
    return sentences(text, _("What would help: {keys}").format(keys=way)) if concerns(about) else text


def size(amount: int | None) -> str:
    """Bytes in GiB, small ones in MiB; n/a where they are not told."""
    if amount is None:
        return _("n/a")
    return f"{amount / MIB:.0f} MiB" if 0 < amount < GIB // 10 else f"{amount / GIB:.1f} GiB"


def holder(one: GpuProcess, *, command: bool = True) -> str:
    """Who it is: a process with its owner and program, our worker, or so many together."""
    if one.together:  # whose they are is not this reader's to know
        return ngettext("{n} other process", "{n} other processes", one.together).format(n=one.together)
    if one.is_worker:
        return _("our model, process {pid}").format(pid=one.pid)
    who = _("{user}, process {pid}").format(user=_name(one.user), pid=one.pid)
    return f"{who} ({_name(one.command)})" if command and one.command else who


def holder_lines(help_: MemoryHelp) -> list[str]:
    """A line for each holder, the largest first."""
    if help_.device == "host":
        return []
    if help_.holders is None:
        return [_("The card does not say who holds its memory.")]
    if not help_.holders:
        return [_("No process holds memory on the card.")]
    return [_("{size} · {who}").format(size=size(one.used_bytes), who=holder(one)) for one in help_.holders]


def need_lines(help_: MemoryHelp) -> list[str]:
    """The sum: what is needed, in its parts, and what is there."""
    lines = []
    if help_.need is not None:
        need = help_.need
        whole = ngettext(
            "Needed: {total} for {n} conversation of up to {window} tokens",
            "Needed: {total} for {n} conversations of up to {window} tokens",
            need.slots,
        )
        lines.append(whole.format(total=size(need.total), n=need.slots, window=f"{need.window:,}"))
        parts = [f"{_(_PARTS[part.name])} {size(part.size)}" for part in need.parts]
        lines.append("= " + " + ".join(parts))
    where = _("This box's memory")
    if help_.device == "gpu":
        where = _("GPU {index}").format(index=help_.gpu) + (f", {_name(help_.gpu_name)}" if help_.gpu_name else "")
    there = _("{where}: {free} of {total} free").format(where=where, free=size(help_.free), total=size(help_.total))
    lines.append(there)
    if help_.worker_bytes and help_.available is not None:
        held = _("Our model holds {held}: started again, it can have {available}.")
        lines.append(held.format(held=size(help_.worker_bytes), available=size(help_.available)))
    if help_.gpu_assumed:
        told = _("This box has several cards, and which one the model is given is not known for certain.")
        lines.append(told)
    return lines


def choice_text(choice: MemoryChoice) -> str:
    """One choice in words, without the lines for the settings file."""
    figures = {
        "needed": size(choice.needed), "available": size(choice.available), "window": f"{choice.window:,}",
        "n": choice.slots,
    }  # fmt: skip
    fit = _("Needs {needed} of {available}.").format(**figures)
    if choice.kind == "ask_owner":
        smaller = _smaller(choice).format(**figures) if choice.settings else ""
        return sentences(*(part for part in (_asked(choice), smaller, fit) if part))
    if choice.kind == "again":
        return sentences(_("As things stand now it fits. Ask again."), fit)
    return sentences(_smaller(choice).format(**figures), fit)


def _smaller(choice: MemoryChoice) -> str:
    if "slots" not in choice.settings:
        return _("A smaller window: {window} tokens.")
    if "max_model_len" not in choice.settings:
        return ngettext("Fewer conversations at once: {n}.", "Fewer conversations at once: {n}.", choice.slots)
    return ngettext(
        "Fewer conversations and a smaller window: {n} of {window} tokens.",
        "Fewer conversations and a smaller window: {n} of {window} tokens.",
        choice.slots,
    )


def _asked(choice: MemoryChoice) -> str:
    """Whom to ask for what."""
    told = [_("{who}, holding {size}").format(who=holder(one), size=size(one.used_bytes)) for one in choice.processes]
    who = "; ".join(told)
    if any(one.together for one in choice.processes):
        return _("Ask the box's staff to have it freed: {who}.").format(who=who)
    return ngettext(
        "Ask its owner to end this process: {who}.", "Ask their owners to end these processes: {who}.", len(told)
    ).format(who=who)


def settings_lines(choice: MemoryChoice) -> list[str]:
    """The exact lines for the settings file."""
    return [f"{name} = {value}" for name, value in choice.settings.items()]


def who_sets(help_: MemoryHelp, *, by_staff: bool) -> str:
    """Who puts such lines where; the program changes nothing by itself."""
    text = (
        _("Settings are for the box's staff: they put these lines into {file} and restart the service.")
        if by_staff
        else _("Put these lines into {file} and start the program again.")
    )
    return text.format(file=clean_line(help_.config))


def nothing_fits(help_: MemoryHelp) -> str:
    """That there is no choice, and why; empty where there is one, or nothing could be reckoned."""
    if help_.choices or help_.unknown or help_.smallest is None:
        return ""
    figures = {"smallest": size(help_.smallest), "available": size(help_.available), "total": size(help_.total)}
    if help_.total is not None and help_.smallest > help_.total:
        text = _("Nothing fits here: even one conversation in the smallest window needs {smallest}, and there are only "
                 "{total} in all. The model needs another card.")  # fmt: skip
    else:
        text = _("Nothing fits as things are: even one conversation in the smallest window needs {smallest}, and "
                 "{available} can be had.")  # fmt: skip
    return text.format(**figures)


def note_text(note: MemoryNote) -> str:
    """What a checkpoint of another form would change."""
    if note.kind == "text_only":
        text = _("A text-only checkpoint saves no memory: images are not read, so that part is never loaded. It is "
                 "{disk} smaller on the disk.")  # fmt: skip
    else:
        text = _("A checkpoint that was quantised beforehand takes the same memory once it is loaded, and at most "
                 "{saves} less while it loads. It loads faster, and is {disk} smaller on the disk.")  # fmt: skip
    return text.format(saves=size(note.saves), disk=size(note.saves_on_disk))


def unknown(help_: MemoryHelp) -> str:
    """Why nothing could be reckoned; empty where it could."""
    return _(_UNKNOWN[help_.unknown]) if help_.unknown else ""


def short_lines(help_: MemoryHelp, *, by_staff: bool) -> list[str]:
    """All of it in a few lines, for a terminal without a screen."""
    lines = [*need_lines(help_)]
    if held := holder_lines(help_):
        lines += [_("Who holds the card's memory:"), *(f"  {line}" for line in held)]
    if help_.choices:
        lines.append(_("What would fit:"))
        for number, choice in enumerate(help_.choices, start=1):
            lines.append(f"  {number}. {choice_text(choice)}")
            lines += [f"     {line}" for line in settings_lines(choice)]
        if any(choice.settings for choice in help_.choices):
            lines.append(who_sets(help_, by_staff=by_staff))
    lines += [text for text in (nothing_fits(help_), unknown(help_)) if text]
    return [i18n.own(line) for line in lines]


def _name(text: str | None) -> str:
    return clean_line(text) if text else _("unknown")
