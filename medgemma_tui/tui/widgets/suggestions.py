"""Questions to pick from: the demo's own, and what may be asked next. And the welcome above them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from medgemma_tui.i18n import N_, _


class Suggestions(OptionList):
    """A list of questions. Enter or a click puts one into the composer; letters and digits belong to the question."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", N_("Back to the question"), show=False),
    ]

    class Picked(Message):
        """A question was picked."""

        def __init__(self, question: str) -> None:
            self.question = question
            super().__init__()

    class Left(Message):
        """The list was left without a choice."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False, compact=True)
        self._questions: tuple[str, ...] = ()

    def offer(self, questions: Sequence[str]) -> None:
        """Show these questions; the list hides where there are none."""
        if tuple(questions) == self._questions:
            return
        self._questions = tuple(questions)
        self.clear_options()
        self.add_options(Option(text) for text in self._questions)
        self.display = bool(self._questions)
        if self._questions:
            self.highlighted = 0

    def action_leave(self) -> None:
        """Back to the composer."""
        self.post_message(self.Left())

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click on a question."""
        event.stop()
        self.post_message(self.Picked(self._questions[event.option_index]))


class Welcome(Static):
    """What this is, before the first question."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._demo = False
        self._shown = False

    def show(self, demo: bool) -> None:
        """Show the text for the demo model or for a real one."""
        if demo != self._demo or not self._shown:
            self._demo, self._shown = demo, True
            self.relabel()

    def relabel(self) -> None:
        """Say it in the language in use."""
        lines = [_("MedGemma answers here, on this box. Nothing you type leaves it or is written to disk.")]
        if self._demo:
            lines.append(_("DEMO, NOT MEDICAL: a tiny practice model answers, and it only knows the questions below."))
        lines.append(
            _("For qualified clinicians. It supports a decision and does not make it: check every answer before use.")
        )
        if self._demo:
            lines.append(_("Pick a question with Tab, arrows and Enter, or type one."))
        self.update("\n".join(lines))
