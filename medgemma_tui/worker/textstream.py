"""One reply's text as it grows: whole characters, no leading line breaks, nothing from a stop string on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transformers import PreTrainedTokenizerBase

from medgemma_tui.worker.detokenize import Detokenizer
from medgemma_tui.worker.types import Channel


class StopMatcher:
    """Looks for stop strings in text that comes in pieces, and holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """The text that is certain: up to the first stop string, or all but a possible beginning of one."""
        if self.hit:
            return ""
        text = self._held + text
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.hit, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def end(self) -> str:
        """What was held back and was no stop string after all."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of ``text`` that ``stop`` begins with (not all of it)."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)


class _ChannelText:
    """The text of one channel."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._begun = False

    def feed(self, ids: Sequence[int]) -> str:
        return self._trimmed(self._detokenizer.feed(ids))

    def end(self) -> str:
        return self._trimmed(self._detokenizer.end())

    def _trimmed(self, text: str) -> str:
        if not self._begun:
            text = text.lstrip("\n")
            self._begun = bool(text)
        return text


class ReplyText:
    """Sorts a reply's tokens into its channels and makes text of them.

    Tokens are decoded when :meth:`take` is called, many at once; with stop strings each is decoded as it comes, so
    that the reply ends at the same token however the pieces fall. Stop strings are looked for in content only.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str] = ()) -> None:
        self._channels = {channel: _ChannelText(tokenizer) for channel in Channel}
        self._stop = StopMatcher(stops) if stops else None
        self._channel: Channel | None = None
        self._ids: list[int] = []
        self._ready: list[tuple[Channel, str]] = []

    def add(self, token_id: int, channel: Channel) -> bool:
        """One more token. True when a stop string is complete: nothing after it counts."""
        if channel is not self._channel:
            self._close()
            self._channel = channel
        self._ids.append(token_id)
        if self._stop is not None and channel is Channel.CONTENT:
            self._decode()
            return self._stop.hit
        return False

    def take(self) -> list[tuple[Channel, str]]:
        """The text since the last call."""
        self._decode()
        ready, self._ready = self._ready, []
        return ready

    def end(self) -> list[tuple[Channel, str]]:
        """The rest of the text: the reply is over."""
        self._close()
        return self.take()

    def _decode(self) -> None:
        if self._channel is not None and self._ids:
            ids, self._ids = self._ids, []
            self._put(self._channel, self._channels[self._channel].feed(ids))

    def _close(self) -> None:
        """The channel's text is complete."""
        self._decode()
        if self._channel is not None:
            self._put(self._channel, self._channels[self._channel].end())
            if self._channel is Channel.CONTENT and self._stop is not None and (text := self._stop.end()):
                self._ready.append((self._channel, text))

    def _put(self, channel: Channel, text: str) -> None:
        if self._stop is not None and channel is Channel.CONTENT:
            text = self._stop.feed(text)
        if text:
            self._ready.append((channel, text))


def joined(pieces: Sequence[tuple[Channel, str]]) -> Iterator[tuple[Channel, str]]:
    """Neighbouring pieces of one channel as one."""
    channel, texts = None, list[str]()
    for here, text in pieces:
        if here is not channel and channel is not None:
            yield channel, "".join(texts)
            texts = []
        channel = here
        texts.append(text)
    if channel is not None:
        yield channel, "".join(texts)
