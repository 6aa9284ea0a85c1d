"""What the parts of the controller share: the conversation, how the next question is asked, and the edit under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from medgemma_tui.protocol import EventBody
from medgemma_tui.settings import Settings
from medgemma_tui.tui.conversation import Conversation, Notice, Turn
from medgemma_tui.tui.view import View

Thinking = Literal["auto", "force", "skip"]
Sections = Literal["auto", "always", "off"]


@dataclass
class Desk:
    """The state of one screen's conversation. ``ready`` and ``demo`` are as the service told them last."""

    settings: Settings
    view: View
    instructions: str
    thinking: Thinking
    sections: Sections
    conversation: Conversation = field(default_factory=Conversation)
    ready: bool = False
    demo: bool = False
    model: str = ""
    """The model's name, where the service has told it."""
    quantization: str = ""
    edited: Turn | None = None
    """The turn that the draft will replace."""
    set_aside: str = ""
    """The draft that was there before an edit."""
    report: Callable[[EventBody], None] = lambda _event: None
    """Takes what is for the audit log."""

    @property
    def remaining(self) -> Conversation:
        """The conversation without the turn that is being edited."""
        if self.edited is None:
            return self.conversation
        kept = [entry for entry in self.conversation.entries if entry is not self.edited]
        return Conversation(kept, self.conversation.card)

    @property
    def last(self) -> Turn | None:
        """The newest turn."""
        turns = self.conversation.turns
        return turns[-1] if turns else None

    def note(self, text: str, level: Literal["info", "warning", "error"]) -> None:
        """Put a line of the program's own into the transcript."""
        notice = Notice(text, level)
        self.conversation.entries.append(notice)
        self.view.added(notice)

    def remove(self, turn: Turn) -> None:
        """Take a turn out."""
        self.conversation.entries.remove(turn)
        self.view.removed(turn)

    def stop_editing(self) -> None:
        """The draft replaces nothing any more."""
        self.edited = None
        self.view.editing(False)
