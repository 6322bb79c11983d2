"""CachedServable: a version that answers a question once, and gives that answer again for a while.

A version without ``response_cache`` in its model.yaml is not wrapped, so it pays nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from penstock.core.clock import Clock, SystemClock
from penstock.core.eager import in_a_task
from penstock.core.errors import Cancelled, DeadlineExceeded, NotReady
from penstock.core.messages import InferRequest, InferResponse
from penstock.repository.manifest import ResponseCache
from penstock.router.canonical_request import canonical_request, pack_answer, unpack_answer
from penstock.scheduler.scheduler import Scheduler
from penstock.stores.prediction_store import PredictionStore, prediction_key


class CachedServable:
    """A ``core.Servable`` in front of a scheduler.

    Laws: an answer from the cache is that of a request with the same canonical inputs to the same
    version, and carries this request's own id; errors are never kept; the store's trouble is
    never the request's; a request that waits for another's computation gets its outcome by its
    own deadline.

    Args:
        servable: what computes.
        store: where answers are kept.
        options: for how long, and which.
        revision: of the version's files: what they answered before a change is not given again.

    Attributes:
        info, signature, stats: the scheduler's.
    """

    def __init__(
        self,
        servable: Scheduler,
        store: PredictionStore,
        options: ResponseCache,
        *,
        revision: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.info = servable.info
        self.signature = servable.signature
        self.stats = servable.stats
        self._servable = servable
        self._store = store
        self._options = options
        self._revision = revision
        self._clock = clock or SystemClock()
        self._now_ns = self._clock.monotonic_ns
        self._timeout_s = servable.info.manifest.queue.default_timeout_s

    @property
    def fault(self) -> NotReady | None:
        """Why nothing is computed for now; what is kept is still answered."""
        return self._servable.fault

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request; see ``core.Servable.infer``."""
        arrived_ns = self._now_ns()
        left_s = self._timeout_s
        if request.deadline is not None:
            left_s = request.deadline.remaining_s(arrived_ns)
        key = self._key(request)
        if key is None or left_s <= 0:
            return await self._servable.infer(request)
        asking = _Asking(self._servable, request, self._options.max_response_bytes, self._now_ns)
        await in_a_task()  # for the timeout
        try:
            async with asyncio.timeout(left_s) as asking.limit:
                (lookup,) = await self._store.get_or_compute(
                    [key], asking.compute, ttl_s=self._options.ttl_s
                )
        except TimeoutError as err:
            self._ended_waiting(request, arrived_ns, DeadlineExceeded.code)
            raise DeadlineExceeded(
                f"model '{self.info.id.name}' did not answer within the request's time"
            ) from err
        except asyncio.CancelledError:
            if not asking.asked_ns:
                self._ended_waiting(request, arrived_ns, Cancelled.code)
            raise
        if asking.response is not None:
            self.stats.cache_missed(asking.asked_ns - arrived_ns + asking.packing_ns)
            return asking.response
        answer = unpack_answer(lookup.value) if isinstance(lookup.value, bytes) else None
        if answer is None:
            return await self._servable.infer(request)
        self._hit(request, arrived_ns)
        name, version = self.info.id
        return InferResponse(name, version, answer[0], request.id, answer[1])

    def _key(self, request: InferRequest) -> str | None:
        """The request's key; None: it holds what no key can hold."""
        try:
            canonical = canonical_request(request, self._revision)
        except (ValueError, OverflowError):
            return None
        return prediction_key(*self.info.id, canonical, kind="r")

    def _hit(self, request: InferRequest, arrived_ns: int) -> None:
        """Count an answer that the model did not compute."""
        ended_ns = self._now_ns()
        timeline = request.timeline
        timeline.started_ns = timeline.started_ns or arrived_ns
        timeline.queued_ns, timeline.executed_ns = arrived_ns, ended_ns
        self.stats.cache_hit(ended_ns - timeline.started_ns, ended_ns - arrived_ns)
        self.stats.last_wall_ns = self._clock.wall_ns()

    def _ended_waiting(self, request: InferRequest, arrived_ns: int, code: str) -> None:
        """Count a request that ended while it waited for the store or for another request."""
        timeline = request.timeline
        timeline.started_ns = timeline.started_ns or arrived_ns
        timeline.queued_ns = arrived_ns
        self.stats.failed(code, self._now_ns() - timeline.started_ns)


class _Asking:
    """One request that asks the model, should that be needed.

    Attributes:
        limit: the time it may wait for others; once it computes itself, the scheduler keeps its
            deadline.
        response: the model's answer; None: it was not asked.
        asked_ns: when the model was asked; 0: not.
        packing_ns: how long it took to pack the answer.
    """

    def __init__(
        self,
        servable: Scheduler,
        request: InferRequest,
        max_bytes: int,
        now_ns: Callable[[], int],
    ) -> None:
        self.limit: asyncio.Timeout | None = None
        self.response: InferResponse | None = None
        self.asked_ns = self.packing_ns = 0
        self._servable = servable
        self._request = request
        self._max_bytes = max_bytes
        self._now_ns = now_ns

    async def compute(self, positions: Sequence[int]) -> list[bytes | None]:
        """Ask the model; None: the answer is not kept."""
        del positions  # there is one
        if self.limit is not None:
            self.limit.reschedule(None)
        self.asked_ns = self._now_ns()
        self.response = await self._servable.infer(self._request)
        answered_ns = self._now_ns()
        try:
            packed = pack_answer(self.response)
        except (ValueError, OverflowError, TypeError):
            return [None]
        self.packing_ns = self._now_ns() - answered_ns
        return [packed if len(packed) <= self._max_bytes else None]
