"""Who is let in next: fair between owners, first come first served within one; and who is not let in at all."""

from __future__ import annotations

from collections import OrderedDict, deque

from medgemma_tui.worker.types import DecodeRequest


class PromptTooLong(ValueError):
    """The prompt leaves no room for a reply. ``count`` and ``limit`` are tokens."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"the prompt has {count} tokens; at most {limit} fit")
        self.count, self.limit = count, limit


class QueueFull(RuntimeError):
    """``waiting`` requests wait already, as many as are allowed."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests are waiting already")
        self.waiting = waiting


class FairQueue:
    """Owners take turns; each turn lets in the owner's oldest request."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[DecodeRequest]] = OrderedDict()  # owners in the order of their turns

    def __len__(self) -> int:
        return sum(len(requests) for requests in self._waiting.values())

    def push(self, request: DecodeRequest) -> None:
        """Add a request at the end of its owner's line."""
        self._waiting.setdefault(request.owner, deque()).append(request)

    def peek(self) -> DecodeRequest | None:
        """Whose turn it is, or None."""
        return next((requests[0] for requests in self._waiting.values()), None)

    def pop(self) -> DecodeRequest:
        """Take the request whose turn it is; its owner goes to the back. IndexError when empty."""
        owner = next(iter(self._waiting), None)
        if owner is None:
            raise IndexError("the queue is empty")
        requests = self._waiting.pop(owner)
        request = requests.popleft()
        if requests:
            self._waiting[owner] = requests
        return request

    def remove(self, request_id: str) -> DecodeRequest | None:
        """Take a request out, wherever it stands; None if it is not waiting."""
        for owner, requests in self._waiting.items():
            for request in requests:
                if request.id == request_id:
                    requests.remove(request)
                    if not requests:
                        del self._waiting[owner]
                    return request
        return None

    def positions(self) -> dict[str, int]:
        """Every waiting request's id and place; 1 is next."""
        lines = [list(requests) for requests in self._waiting.values()]
        rounds = max((len(line) for line in lines), default=0)
        order = [line[turn] for turn in range(rounds) for line in lines if turn < len(line)]
        return {request.id: place for place, request in enumerate(order, start=1)}
