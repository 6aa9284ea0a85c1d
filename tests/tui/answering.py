"""A service that answers at once with what a test gives it, in the place of ``client.Client``."""

from __future__ import annotations

import asyncio

from medgemma_tui.protocol import (
    ChatChunk,
    ChunkChoice,
    Delta,
    Health,
    HealthRecord,
    ModelCard,
    ServiceSample,
    Telemetry,
    TokenizeReply,
)


class Answering:
    """It gives every question this answer, and the request for a causal chain the text ``chain``; ``hang``: nothing.

    ``error`` is raised for the chain. ``requests`` are all that were streamed.
    """

    def __init__(
        self, answer: str, *, reasoning: str = "", chain: str = "", demo: bool = False, window: int = 8192
    ) -> None:
        self.answer, self.reasoning, self.chain = answer, reasoning, chain
        name = "medgemma-tui-demo" if demo else "medgemma-1.5-4b-it"
        self.card = ModelCard(id=name, demo=demo, quantization="nf4", max_model_len=window)
        self.requests: list = []
        self.events: list = []
        self.hung = asyncio.Event()
        self.left = False
        self.error = None

    async def health(self):
        return Health(status="ok", reason="ready", model=self.card)

    async def model(self):
        return self.card

    async def telemetry(self):
        yield Telemetry(time=1.0, gpus=[], service=ServiceSample(worker_pid=41))
        await asyncio.Event().wait()

    async def tokenize(self, request):
        counts = [len(message.text) + 4 for message in request.messages]
        return TokenizeReply(count=sum(counts), max_model_len=self.card.max_model_len, message_counts=counts)

    async def stream(self, request):
        self.requests.append(request)
        asked = request.response_format is not None
        if asked and self.error is not None:
            raise self.error
        if asked and self.chain == "hang":
            self.hung.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.left = True
        parts = [{"reasoning": part} for part in pieces("" if asked else self.reasoning)]
        parts += [{"content": part} for part in pieces(self.chain if asked else self.answer)]
        for part in parts:
            yield ChatChunk(model=self.card.id, choices=[ChunkChoice(delta=Delta(**part))])
        yield ChatChunk(model=self.card.id, choices=[ChunkChoice(finish_reason="stop")])

    async def forget(self):
        pass

    async def health_record(self):
        return HealthRecord()

    async def note(self, event):
        self.events.append((event.event, event.outcome, event.counts))

    async def parked(self):
        return None

    async def park(self, body):
        pass

    async def drop(self, id):
        return False

    async def leave(self):
        pass

    async def close(self):
        pass


def pieces(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]
