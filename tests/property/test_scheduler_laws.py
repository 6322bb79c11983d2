"""Laws of the scheduler: one outcome each, by its deadline, whatever the neighbours do."""

import asyncio
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelFailed,
    Overloaded,
    PenstockError,
    TooLarge,
)
from penstock.repository.manifest import Batching, Queue
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Work
from penstock.scheduler.request_queue import RequestQueue, Waiting
from penstock.testing.puppet_instance import PuppetInstance
from tests.unit.scheduler.playing import (
    ask,
    clock,
    deadline,
    pairs,
    play,
    puppet,
    schedule,
    settle,
    values,
)

BAD, BROKEN = -1.0, -2.0
"""Rows that the model refuses, and rows on which it breaks."""


def answer(work: Work) -> ExecuteResult | PenstockError:
    rows = work.inputs[0].array[:, 0].tolist()
    if BROKEN in rows:
        return ModelFailed("broken")
    invalid = {i: InvalidInput(i, "bad") for i, value in enumerate(rows) if value == BAD}
    return ExecuteResult((pairs(*(v for v in rows if v != BAD)),), invalid)


class Plan(NamedTuple):
    """One request: what it brings, how long it has, whether its client leaves."""

    kind: str
    rows: int
    timeout_s: float
    leaves: bool
    priority: int


plans = st.builds(
    Plan,
    kind=st.sampled_from(["good"] * 4 + ["bad", "broken"]),
    rows=st.integers(1, 7),
    timeout_s=st.sampled_from([0.05, 0.5, 100.0]),
    leaves=st.sampled_from([False] * 5 + [True]),
    priority=st.integers(0, 3),
)
pulls = st.lists(
    st.sampled_from(["send", "pull first", "pull second", "time", "leave"]), max_size=60
)


class Stage:
    """A scheduler, its puppets, and the requests that are still to come."""

    def __init__(self, requests: list[Plan], num_instances: int, **manifest: Any) -> None:
        self.instances = [puppet(answer=answer, takes_ahead=True) for _ in range(num_instances)]
        self.scheduler = schedule(*self.instances, **manifest)
        self.todo = list(enumerate(requests))
        self.replies: list[tuple[int, Plan, asyncio.Task[Any]]] = []

    async def move(self, pull: str) -> None:
        match pull:
            case "send":
                self.send()
            case "time":
                await asyncio.sleep(0.02)
            case "leave":
                for _, plan, reply in self.replies:
                    if plan.leaves:
                        reply.cancel()
            case "pull first":
                self.finish(self.instances[:1])
            case "pull second":
                self.finish(self.instances[1:])
        await settle()

    def send(self) -> None:
        if self.todo:
            number, plan = self.todo.pop(0)
            reply = asyncio.create_task(self.timed(plan, rows_of(number, plan)))
            self.replies.append((number, plan, reply))

    async def timed(self, plan: Plan, rows: list[float]) -> Any:
        ends_s = clock().time() + plan.timeout_s
        request = ask(*rows, deadline=deadline(plan.timeout_s), priority=plan.priority)
        try:
            return await self.scheduler.infer(request)
        finally:
            assert clock().time() <= ends_s + 0.001

    @staticmethod
    def finish(instances: list[PuppetInstance]) -> None:
        for instance in instances:
            if instance.is_busy:
                instance.finish()

    async def play_out(self) -> None:
        while self.todo:
            self.send()
        while not all(reply.done() for _, _, reply in self.replies):
            await asyncio.sleep(0.03)
            self.finish(self.instances)
        while any(instance.is_busy for instance in self.instances):
            self.finish(self.instances)


@given(
    requests=st.lists(plans, min_size=1, max_size=12),
    pulls=pulls,
    max_batch_size=st.integers(1, 8),
    delay_s=st.sampled_from([0.0, 0.02]),
    max_requests=st.sampled_from([4, 100]),
    num_instances=st.integers(1, 2),
)
def test_each_request_has_one_outcome_and_its_own_rows(
    requests: list[Plan],
    pulls: list[str],
    max_batch_size: int,
    delay_s: float,
    max_requests: int,
    num_instances: int,
) -> None:
    async def scene() -> None:
        stage = Stage(
            requests,
            num_instances,
            max_batch_size=max_batch_size,
            batching=Batching(max_queue_delay_s=delay_s),
            queue=Queue(max_requests=max_requests),
        )
        stats = stage.scheduler.stats
        for pull in pulls:
            await stage.move(pull)
            assert stats.queue_requests <= max_requests
        await stage.play_out()
        for instance in stage.instances:
            assert instance.violations == []
            assert all(rows <= max_batch_size for rows in instance.rows)
        for reply in stage.replies:
            judge(*reply)
        uncancelled = [reply for _, _, reply in stage.replies if not reply.cancelled()]
        cancelled = stats.outcomes.get("cancelled", 0)
        assert sum(stats.outcomes.values()) == len(uncancelled) + cancelled
        assert (stats.queue_requests, stats.queue_bytes, stats.busy) == (0, 0, 0)
        await stage.scheduler.close()

    play(scene())


def rows_of(number: int, plan: Plan) -> list[float]:
    rows = [float(number * 100 + row) for row in range(plan.rows)]
    if plan.kind != "good":
        rows[-1] = BAD if plan.kind == "bad" else BROKEN
    return rows


def judge(number: int, plan: Plan, reply: "asyncio.Task[Any]") -> None:
    if reply.cancelled():
        assert plan.leaves
        return
    error = reply.exception()
    if error is None:
        assert plan.kind == "good"
        assert values(reply.result()) == rows_of(number, plan)
    elif isinstance(error, InvalidInput):
        assert plan.kind == "bad"
        assert error.index == plan.rows - 1
    elif isinstance(error, ModelFailed):
        assert plan.kind == "broken"
    else:
        assert isinstance(error, DeadlineExceeded | Overloaded | TooLarge)


@given(
    st.lists(
        st.tuples(st.sampled_from(["push", "discard"]), st.integers(0, 9), st.integers(0, 3)),
        max_size=40,
    )
)
def test_the_queue_against_a_list(steps: list[tuple[str, int, int]]) -> None:
    queue = RequestQueue(Queue(max_requests=5, max_bytes=80))  # type: ignore[arg-type]
    model: list[Waiting] = []
    for what, number, priority in steps:
        if what == "push":
            outcome: Any = None
            item = Waiting(
                ask(*range(number), priority=priority),
                number,
                arrived_ns=0,
                deadline_ns=0,
                outcome=outcome,
            )
            fits = len(model) < 5 and sum(w.num_bytes for w in model) + item.num_bytes <= 80
            try:
                queue.admit("m", 1, item.num_bytes, lambda: 1)
            except Overloaded:
                assert not fits
            else:
                assert fits
                queue.push(item)
                model.append(item)
        elif number < len(model):
            assert queue.discard(model.pop(number))
        assert list(queue) == sorted(model, key=lambda w: w.request.priority or 10)
        assert (len(queue), queue.num_bytes) == (len(model), sum(w.num_bytes for w in model))
