"""The terminal driver: Textual's, with its input made safe.

Textual's own input thread lets an ESC inside a bracketed paste end the paste early and turns what follows into key
presses (a pasted Enter would send), dies on bytes that are not UTF-8, reads Alt+Enter as Enter, and spins when the
terminal goes away. Each is put right here. What is pasted or typed is made safe (``safetext``) before anybody sees it.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import termios
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO, cast

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from medgemma_tui.safetext import clean
from medgemma_tui.tui.messages import Resumed, TerminalGone, TerminalTakes
from medgemma_tui.tui.terminal_file import TerminalFile

if TYPE_CHECKING:
    from textual.app import App

PASTE_START = "\x1b[200~"
PASTE_END = "\x1b[201~"
_NEWLINE_KEYS = {"\x1b\r": "alt+enter", "\x1b[27;2;13~": "shift+enter", "\x1b[27;3;13~": "alt+enter"}
_READ_BYTES = 64 * 1024
_HELD_S = 0.03  # a marker's pieces come closer together than this; a lone Esc waits no longer for its turn
_IDLE_S = 0.1


class Splitter:
    """Splits what a terminal sends into pasted texts and the rest. Call ``feed`` with each piece as it is read."""

    def __init__(self) -> None:
        self._held = ""  # a piece of input that may be the beginning of a marker
        self._pasting = False
        self._pasted: list[str] = []

    def feed(self, data: str) -> Iterator[tuple[bool, str]]:
        """Yield ``(is_paste, text)``: whole pastes, and runs of ordinary input."""
        data = self._held + data
        self._held = ""
        while data:
            marker = PASTE_END if self._pasting else PASTE_START
            before, found, after = data.partition(marker)
            if not found:
                keep = _beginning(data, marker)
                before, self._held = data[: len(data) - keep], data[len(data) - keep :]
            if self._pasting:
                self._pasted.append(before)
            elif before:
                yield False, before
            if not found:
                return
            if self._pasting:
                text, self._pasted = "".join(self._pasted), []
                yield True, text
            self._pasting = not self._pasting
            data = after

    @property
    def holding(self) -> bool:
        """True while input outside a paste is held back: it may be a key of its own, so do not wait long."""
        return bool(self._held) and not self._pasting

    def idle(self) -> str:
        """Nothing more came for a while: what was held back outside a paste is ordinary input after all."""
        if self._pasting:
            return ""
        held, self._held = self._held, ""
        return held


def _beginning(data: str, marker: str) -> int:
    """Length of the longest end of ``data`` that begins ``marker``."""
    return next((size for size in range(len(marker) - 1, 0, -1) if data.endswith(marker[:size])), 0)


class SafeDriver(LinuxDriver):
    """Textual's Linux driver with the input thread described above, and writes that outlive the terminal."""

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._terminal = TerminalFile(cast("TextIO", self._file), lambda: app.post_message(TerminalTakes()))
        self._file = self._terminal  # type: ignore[assignment]

    def look(self) -> None:
        """See whether a terminal that took nothing takes again; nothing else may be written for a long time."""
        if self._terminal.stalled and self._writer_thread is not None:
            self.write("")

    def stop_application_mode(self) -> None:
        """Leave the terminal as it was; what a stalled one has not shown by now is not shown any more."""
        if self._terminal.stalled:
            with contextlib.suppress(termios.error):
                termios.tcflush(self.fileno, termios.TCOFLUSH)
        super().stop_application_mode()

    def _sigcont_application(self, *_signal: object) -> None:
        self._app.post_message(Resumed())  # before the screen is drawn again
        super()._sigcont_application()

    def run_input_thread(self) -> None:
        """Read the terminal and dispatch events until the app ends; ends the app when the terminal is gone."""
        selector = selectors.SelectSelector()
        selector.register(self.fileno, selectors.EVENT_READ)
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        parser = XTermParser(self._debug)
        splitter = Splitter()
        try:
            while not self.exit_event.is_set():
                if not selector.select(_HELD_S if splitter.holding else _IDLE_S):
                    self._keys(parser, splitter.idle())
                    self._tick(parser)
                    continue
                try:
                    data = os.read(self.fileno, _READ_BYTES)
                except OSError:
                    data = b""
                if not data:
                    self._app.post_message(TerminalGone())
                    return
                for is_paste, text in splitter.feed(decode(data)):
                    if is_paste:
                        self.process_message(events.Paste(clean(text)))
                    else:
                        self._keys(parser, text)
                self._tick(parser)
        finally:
            selector.close()

    def _keys(self, parser: XTermParser, text: str) -> None:
        if not text:
            return
        if text in _NEWLINE_KEYS:
            self.process_message(events.Key(_NEWLINE_KEYS[text], None))
            return
        for event in parser.feed(text):
            self._pass_on(event)

    def _tick(self, parser: XTermParser) -> None:
        for event in parser.tick():
            self._pass_on(event)

    def _pass_on(self, event: Message) -> None:
        """What is typed passes the boundary as a paste does, wherever it goes: one without bracketing comes as keys."""
        if isinstance(event, events.Key) and event.is_printable and not clean(event.character or "x"):
            return
        self.process_message(event)
