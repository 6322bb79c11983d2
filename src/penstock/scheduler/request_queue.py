"""RequestQueue: bounded by requests and bytes, ordered by priority, then by arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator

from penstock.core.errors import Overloaded, TooLarge
from penstock.core.messages import InferRequest
from penstock.core.tensor import Tensor
from penstock.repository.manifest import Queue

DEFAULT_PRIORITY = 10
"""The level of a request that asks for none (priority 0)."""

Outcome = asyncio.Future[tuple[Tensor, ...]]


class Waiting:
    """One request in the queue or in execution. Owned by the event loop's thread.

    Attributes:
        request: what is asked.
        rows: rows it brings.
        num_bytes: bytes of its inputs.
        key, length: what it merges with (see ``batch_policy.Candidate``); a length of -1: nothing
            of it is padded.
        first_row: see ``batch.Member``.
        arrived_ns: when it came.
        deadline_ns: when its outcome is due.
        outcome: its outputs, or its error; set exactly once.
        is_retried: whether it runs for the second time, its first worker having died.
    """

    __slots__ = (
        "arrived_ns",
        "deadline_ns",
        "first_row",
        "is_retried",
        "key",
        "length",
        "num_bytes",
        "outcome",
        "request",
        "rows",
    )

    def __init__(
        self,
        request: InferRequest,
        rows: int,
        *,
        arrived_ns: int,
        deadline_ns: int,
        outcome: Outcome,
    ) -> None:
        self.request = request
        self.rows = rows
        self.num_bytes = sum(tensor.num_bytes for tensor in request.inputs)
        self.is_retried = False
        self.key: Hashable = None
        self.length = -1
        self.first_row = -1
        self.arrived_ns = arrived_ns
        self.deadline_ns = deadline_ns
        self.outcome = outcome

    def let_go(self) -> None:
        """Nobody waits for it any more: leave no unread error behind."""
        if not self.outcome.done():
            self.outcome.cancel()
        elif not self.outcome.cancelled():
            self.outcome.exception()  # read, so that asyncio does not complain


class RequestQueue:
    """Requests that wait for an instance.

    Law: ``num_requests <= options.max_requests`` and ``num_bytes <= options.max_bytes``, always.

    Attributes:
        num_requests: how many wait.
        num_bytes: bytes of their inputs.
        num_rows: rows they bring.
    """

    def __init__(self, options: Queue) -> None:
        self._options = options
        self._levels: dict[int, dict[Waiting, None]] = {}
        self.num_requests = 0
        self.num_bytes = 0
        self.num_rows = 0

    def admit(
        self, model: str, num_requests: int, num_bytes: int, retry_after_s: Callable[[], float]
    ) -> None:
        """See whether so much may still wait.

        Args:
            model: the model's name.
            num_requests: how many more.
            num_bytes: bytes of their inputs.
            retry_after_s: about how long the queue will take, in seconds; asked when it is full.

        Raises:
            TooLarge: it never may, however empty the queue is.
            Overloaded: it may not now; names the bound and what waits.
        """
        most = self._options
        if num_requests > most.max_requests or num_bytes > most.max_bytes:
            raise TooLarge(
                f"the request takes {num_requests} places and {num_bytes} bytes in the queue of "
                f"model '{model}', which has {most.max_requests} and {int(most.max_bytes)}. "
                "Send less at once"
            )
        if self.num_requests + num_requests > self._options.max_requests:
            raise Overloaded(
                f"model '{model}' is busy: {self.num_requests} requests wait and "
                f"{self._options.max_requests} may. Try again later",
                retry_after_s=retry_after_s(),
            )
        if self.num_bytes + num_bytes > self._options.max_bytes:
            raise Overloaded(
                f"model '{model}' is busy: {self.num_bytes} bytes of inputs wait, {num_bytes} more "
                f"came and {int(self._options.max_bytes)} may wait. Try again later",
                retry_after_s=retry_after_s(),
            )

    def push(self, waiting: Waiting) -> None:
        """Add a request that was admitted."""
        level = waiting.request.priority or DEFAULT_PRIORITY
        self._levels.setdefault(level, {})[waiting] = None
        self.num_requests += 1
        self.num_bytes += waiting.num_bytes
        self.num_rows += waiting.rows

    def discard(self, waiting: Waiting) -> bool:
        """Take a request out, wherever it stands; False: it was not there (any more)."""
        level = waiting.request.priority or DEFAULT_PRIORITY
        requests = self._levels.get(level)
        if requests is None or waiting not in requests:
            return False
        del requests[waiting]
        if not requests:
            del self._levels[level]
        self.num_requests -= 1
        self.num_bytes -= waiting.num_bytes
        self.num_rows -= waiting.rows
        return True

    def take(self, batch: Iterable[Waiting]) -> None:
        """Take these requests out, to run them."""
        for waiting in batch:
            self.discard(waiting)

    def __iter__(self) -> Iterator[Waiting]:
        """The requests in the order in which they should run."""
        for level in sorted(self._levels):
            yield from self._levels[level]

    def __len__(self) -> int:
        """How many wait."""
        return self.num_requests
