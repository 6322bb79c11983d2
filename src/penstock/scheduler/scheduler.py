"""Scheduler: a model's queue and instances, as one Servable.

Everything here runs on the event loop's thread; only ``Instance.submit`` leaves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import NotReady, PenstockError
from penstock.core.messages import InferRequest, InferResponse
from penstock.runtime.instance import Execution, Instance, Work
from penstock.runtime.model_fault import report
from penstock.scheduler.ahead import Ahead
from penstock.scheduler.batch import Member, Tensors, join, merge, select, split
from penstock.scheduler.batch_policy import WaitUntil
from penstock.scheduler.deadlines import Deadlines
from penstock.scheduler.gathering import Gathering
from penstock.scheduler.inline_policy import first_state, next_state
from penstock.scheduler.instance_pool import InstancePool
from penstock.scheduler.intake import Intake
from penstock.scheduler.model_info import ModelInfo
from penstock.scheduler.outcomes import (
    broken,
    copy_of,
    give,
    give_up,
    merge_batch,
    not_run,
    read_outcomes,
    still_wanted,
    to_retry,
    too_late,
)
from penstock.scheduler.padding import Padding
from penstock.scheduler.pick import pick
from penstock.scheduler.request_queue import RequestQueue, Waiting
from penstock.telemetry.stats import ModelStats


class Scheduler:
    """Admits, queues, merges, runs, splits. A ``core.Servable``.

    Attributes:
        info: what it serves.
        signature: the model's.
        stats: what it did.
    """

    def __init__(
        self,
        info: ModelInfo,
        instances: Sequence[Instance],
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock | None = None,
    ) -> None:
        self.info = info
        self.signature = info.signature
        self.stats = ModelStats(info.id.name, info.id.version)
        self.stats.instances = len(instances)
        self._pool = InstancePool(instances, self._instances_changed)
        self.stats.ready, self.stats.worker_deaths = self._pool.census()
        self._loop = loop
        self._clock = clock or SystemClock()
        self._now_ns = self._clock.monotonic_ns
        self._max_rows = info.max_batch_size
        self._row_limit = self._max_rows or 1
        self._batching = info.manifest.batching
        self._queue_options = info.manifest.queue
        pad = self._batching.pad
        self._padding = Padding.resolve(pad, info.signature) if pad else None
        self._intake = Intake(info, self._padding, loop)
        self._queue = RequestQueue(info.manifest.queue)
        self._deadlines = Deadlines(loop, self._now_ns, self._outstanding, self._expire)
        self._singles: list[Waiting] = []
        self._wake_up: asyncio.TimerHandle | None = None
        self._closed = False
        self._idle_since_ns = 0
        self._ahead = Ahead(info.warm_up_ns, self._row_limit)
        self._gathering = Gathering()
        self._may_inline = info.manifest.instances.inline == "auto" and all(
            instance.can_inline for instance in instances
        )
        self._inline = first_state(info.warm_up_ns, allowed=self._may_inline)
        self.stats.inline = self._inline.inline

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request; see ``core.Servable.infer``.

        An idle model that is fast enough answers here and now, without a queue, a task or a
        timer; where requests come thick, those of one turn of the event loop are answered
        together. Everything else waits for an instance.
        """
        timeline = request.timeline
        arrived_ns = self._now_ns()
        if not timeline.started_ns:
            timeline.started_ns = arrived_ns
        timeline.queued_ns = arrived_ns
        try:
            rows = self.signature.check(self.info.id.name, request.inputs, request.outputs)
            deadline_ns = self._deadline(request, arrived_ns)
            is_short = self._inline.inline and bool(self._pool.idle) and rows <= self._row_limit
            if is_short and self._max_rows > 1 and self._gathering.arrived():
                self._loop.call_soon(self._turn_over)
            if is_short and self._gathering.pays:
                waiting = self._intake.waiting(request, rows, arrived_ns, deadline_ns)
                outputs = await self._infer_gathered(waiting)
            elif is_short and not self._queue:
                outputs = self._infer_now(request, rows)
            else:
                parts = self._intake.parts(request, rows, arrived_ns, deadline_ns)
                outputs = await self._infer_queued(parts)
        except PenstockError as err:
            report(self.info.id, err)
            self.stats.failed(err.code, self._now_ns() - timeline.started_ns)
            raise
        except asyncio.CancelledError:
            self.stats.failed("cancelled", self._now_ns() - timeline.started_ns)
            raise
        ended_ns = self._now_ns()
        queued_ns = timeline.executing_ns - arrived_ns
        self.stats.answered(rows, ended_ns - timeline.started_ns, queued_ns)
        self.stats.last_wall_ns = self._clock.wall_ns()
        return InferResponse(
            self.info.id.name,
            self.info.id.version,
            outputs if request.outputs is None else select(outputs, request.outputs),
            request.id,
        )

    async def close(self) -> None:
        """Refuse new requests and close the instances.

        Requests that are still here, waiting or in execution, have NotReady for their outcome
        before this first waits.
        """
        self._closed = True
        if self._wake_up is not None:
            self._wake_up.cancel()
        self._deadlines.close()
        give_up(self._outstanding(), self.info.id)
        self._queue.take(list(self._queue))
        self._singles.clear()
        self._count_queue()
        await self._pool.close()

    @property
    def fault(self) -> NotReady | None:
        """Why no copy computes, nor will soon; None: all is well."""
        return self._pool.fault

    def _instances_changed(self) -> None:
        """A copy died, came back, or is in quarantine: with the last one goes what waits."""
        self.stats.ready, self.stats.worker_deaths = self._pool.census()
        fault = self._pool.fault
        if fault is None:
            self._dispatch()
            return
        for waiting in (*self._queue, *self._singles):
            if not waiting.outcome.done():
                waiting.outcome.set_exception(copy_of(fault))
        self._queue.take(list(self._queue))
        self._singles.clear()
        self._count_queue()

    def _deadline(self, request: InferRequest, now_ns: int) -> int:
        if self._closed:
            raise NotReady(f"{self.info.id} is not at ready state")
        if self._pool.fault is not None:
            raise copy_of(self._pool.fault)
        if request.deadline is None:
            return now_ns + int(self._queue_options.default_timeout_s * 1e9)
        if request.deadline.expired(now_ns):
            raise too_late(self.info.id.name)
        return request.deadline.at_ns

    async def _infer_gathered(self, waiting: Waiting) -> Tensors:
        """Run on the event loop, together with what else comes in this turn of it."""
        self._queue.admit(self.info.id.name, 1, waiting.num_bytes, self._retry_after_s)
        self._queue.push(waiting)
        self._deadlines.watch(waiting)
        try:
            return await waiting.outcome
        finally:
            if not waiting.outcome.done():
                self._forget(waiting)

    def _turn_over(self) -> None:
        self._gathering.turn_over()
        self._dispatch()

    def _outstanding(self) -> Iterator[Waiting]:
        """Every request that has no outcome yet."""
        return chain(self._queue, self._singles, self._pool.executing())

    def _infer_now(self, request: InferRequest, rows: int) -> Tensors:
        """The whole of a request's life in one call, for models fast enough."""
        instance = self._pool.idle.pop()
        started_ns = self._now_ns()
        try:
            if self._padding is None:
                member, inputs = Member(rows), request.inputs
            else:
                member = Member(rows, self._padding.length(request.inputs))
                inputs = merge([request.inputs], self._padding)
            execution = instance.run(Work(inputs, request.parameters))
            self._learn(execution)
            timeline = request.timeline
            timeline.executing_ns, timeline.executed_ns = execution.started_ns, execution.ended_ns
            if isinstance(execution.result, PenstockError):
                raise execution.result
            outcome = split(execution.result, [member], self.signature, self._padding)[0]
        except PenstockError:
            raise
        except Exception as err:
            raise broken("its answer could not be read", err) from err
        finally:
            self._pool.idle.append(instance)
        self._count(rows, execution, execution.started_ns - started_ns)
        if isinstance(outcome, PenstockError):
            raise outcome
        return outcome

    async def _infer_queued(self, parts: list[Waiting]) -> Tensors:
        self._queue.admit(
            self.info.id.name, len(parts), sum(p.num_bytes for p in parts), self._retry_after_s
        )
        for part in parts:
            self._queue.push(part)
            self._deadlines.watch(part)
        self._count_queue()
        self._dispatch()
        try:
            results = [await part.outcome for part in parts]
        finally:
            for part in parts:
                self._forget(part)
        return results[0] if len(results) == 1 else join(results)

    def _dispatch(self) -> None:
        """Give waiting requests to idle instances until one of both runs out."""
        while self._pool.idle and (self._singles or self._queue) and not self._closed:
            batch = self._next_batch()
            if batch is None:
                break
            if not batch:
                continue
            if self._inline.inline:
                self._run_here(batch, self._pool.idle.pop())
            else:
                self._submit(batch, self._pool.take())
        if self._queue.num_rows >= self._ahead.from_rows:
            self._send_ahead()
        self._count_queue()

    def _send_ahead(self) -> None:
        """Give a copy that is alone its next batch while it computes, if that cannot grow."""
        instance = None if self._closed or self._singles else self._pool.ahead()
        now_ns = self._now_ns()
        if instance is None or not self._ahead.pays(now_ns):
            return
        picked = pick(self._queue, now_ns, self._max_rows, self._batching)
        if isinstance(picked, WaitUntil) or sum(w.rows for w in picked) < self._row_limit:
            self._ahead.found_none(self._queue.num_rows)
            return
        self._queue.take(picked)
        batch = still_wanted(picked, now_ns, self.info.id.name)
        if batch:
            self._submit(batch, instance)

    def _next_batch(self) -> list[Waiting] | None:
        """The live requests to run next; empty: they had all expired; None: wait."""
        now_ns = self._now_ns()
        if self._singles:
            batch = [self._singles.pop()]
        else:
            picked = pick(self._queue, now_ns, self._max_rows, self._batching)
            if isinstance(picked, WaitUntil):
                self._wake_at(picked.at_ns, now_ns)
                return None
            batch = picked
            self._queue.take(batch)
            gated_ns = max(batch[0].arrived_ns, self._idle_since_ns)
            self.stats.batch_wait_ns.observe(max(0, now_ns - gated_ns))
        return still_wanted(batch, now_ns, self.info.id.name)

    def _run_here(self, batch: list[Waiting], instance: Instance) -> None:
        started_ns = self._now_ns()
        try:
            work = merge_batch(batch, self._padding)
            execution = work if isinstance(work, Execution) else instance.run(work)
            self._finish(batch, execution, execution.started_ns - started_ns)
        finally:
            self._pool.idle.append(instance)

    def _submit(self, batch: list[Waiting], instance: Instance) -> None:
        started_ns = self._now_ns()
        work = merge_batch(batch, self._padding)
        merge_ns = self._now_ns() - started_ns
        if not self._pool.num_busy:
            self._ahead.began(started_ns)
        self._pool.begin(instance, batch)
        self.stats.busy = self._pool.num_busy

        def on_done(execution: Execution) -> None:
            try:
                self._end(batch, instance, execution, merge_ns)
            finally:
                self._dispatch()

        if isinstance(work, Work):
            try:
                instance.submit(work, on_done)
                return
            except Exception as err:  # noqa: BLE001  # no thread, for one
                work = not_run("its instance takes no work", err)
        self._end(batch, instance, work, merge_ns)

    def _end(
        self, batch: list[Waiting], instance: Instance, execution: Execution, merge_ns: int
    ) -> None:
        """Take an instance back from its work, whatever became of that."""
        self._pool.end(instance, batch)
        self.stats.busy = self._pool.num_busy
        self._idle_since_ns = execution.ended_ns or self._now_ns()
        self._ahead.ended(self._idle_since_ns)
        self._finish(batch, execution, merge_ns)

    def _finish(self, batch: list[Waiting], execution: Execution, merge_ns: int) -> None:
        """Give each request of a batch its outcome, and learn from the time it took."""
        if execution.ended_ns:  # it has run
            self._learn(execution)
        outcomes = read_outcomes(batch, execution.result, self.signature, self._padding)
        if isinstance(outcomes, PenstockError) and not self._closed:
            again = to_retry(batch, outcomes, idempotent=self.info.manifest.instances.idempotent)
            self._singles.extend(reversed(again))
            batch = [waiting for waiting in batch if waiting not in again]
            if not batch:
                return
        give(batch, outcomes, execution)
        if execution.ended_ns:
            self._count(sum(w.rows for w in batch), execution, merge_ns)

    def _learn(self, execution: Execution) -> None:
        """Decide anew where the model runs."""
        execute_ns = execution.ended_ns - execution.started_ns
        self._ahead.learn(execute_ns)
        self._inline = next_state(self._inline, execute_ns, allowed=self._may_inline)
        self.stats.inline = self._inline.inline

    def _count(self, rows: int, execution: Execution, merge_ns: int) -> None:
        self.stats.executed(
            rows,
            merge_ns,
            execution.ended_ns - execution.started_ns,
            self._now_ns() - execution.ended_ns,
        )

    def _expire(self, waiting: Waiting) -> None:
        if self._queue.discard(waiting):
            self._count_queue()
        waiting.outcome.set_exception(too_late(self.info.id.name))

    def _forget(self, waiting: Waiting) -> None:
        """Leave nothing behind, whether it was answered, failed or taken back."""
        if self._queue.discard(waiting):
            self._count_queue()
        waiting.let_go()

    def _wake_at(self, at_ns: int, now_ns: int) -> None:
        if self._wake_up is not None:
            self._wake_up.cancel()
        delay_s = max(0, at_ns - now_ns) / 1e9
        self._wake_up = self._loop.call_later(delay_s, self._dispatch)

    def _retry_after_s(self) -> float:
        """About how long the queue as it stands will take."""
        if not self._queue:
            return 1.0
        batches = 1 + len(self._queue) // max(1, self._max_rows * len(self._pool))
        mean_ns = self.stats.execute_ns.total / max(1, self.stats.execute_ns.count)
        return max(1.0, batches * mean_ns / 1e9)

    def _count_queue(self) -> None:
        stats, queue = self.stats, self._queue
        stats.queue_requests, stats.queue_bytes = queue.num_requests, queue.num_bytes
