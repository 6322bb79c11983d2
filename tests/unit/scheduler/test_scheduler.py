"""The Scheduler with puppets for instances: nothing moves unless the test moves it."""

import asyncio

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import (
    InvalidArgument,
    Overloaded,
)
from penstock.core.messages import InferRequest
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.repository.manifest import Batching, Pad, Queue
from penstock.runtime.executable import ExecuteResult

from .playing import (
    X,
    ask,
    clock,
    pairs,
    play,
    puppet,
    schedule,
    sent,
    settle,
    values,
)


def test_an_idle_instance_takes_a_request_at_once() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        request = ask(1, id="mine")
        reply = sent(scheduler, request)
        work = await instance.wait_until_busy()
        assert work.inputs[0] is request.inputs[0]
        instance.finish()
        response = await reply
        assert (response.model, response.version, response.id) == ("m", 3, "mine")
        assert values(response) == [1]

    play(scene())


def test_a_batch_grows_while_the_instance_is_busy() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        replies = [sent(scheduler, ask(n)) for n in range(5)]
        await settle()
        assert instance.rows == [1]
        assert scheduler.stats.queue_requests == 4
        assert scheduler.stats.queue_bytes == 4 * 8
        assert scheduler.stats.busy == 1
        instance.finish()
        assert instance.rows == [1, 4]
        instance.finish()
        assert [values(r) for r in await asyncio.gather(*replies)] == [[0], [1], [2], [3], [4]]
        assert scheduler.stats.queue_requests == scheduler.stats.busy == 0
        assert instance.violations == []

    play(scene())


def test_a_batch_keeps_to_max_batch_size() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, max_batch_size=4)
        replies = [sent(scheduler, ask(*range(n))) for n in (1, 3, 2, 1, 2)]
        for _ in range(4):
            await settle()
            if instance.is_busy:
                instance.finish()
        await asyncio.gather(*replies)
        assert instance.rows == [1, 4, 4]

    play(scene())


def test_two_instances_share_the_work() -> None:
    async def scene() -> None:
        first, second = puppet(), puppet()
        scheduler = schedule(first, second)
        replies = [sent(scheduler, ask(n)) for n in range(4)]
        await settle()
        assert (first.rows, second.rows) == ([1], [1])
        assert scheduler.stats.busy == 2
        first.finish()
        assert first.rows == [1, 2]
        first.finish()
        second.finish()
        await asyncio.gather(*replies)

    play(scene())


def test_wanted_outputs_come_in_the_order_asked_for() -> None:
    async def scene() -> None:
        y = TensorSpec("y", DType.FP32, (-1, 2))
        instance = puppet(
            answer=lambda work: ExecuteResult((work.inputs[0], work.inputs[0].renamed("y")))
        )
        scheduler = schedule(instance, signature=ModelSignature((X,), (X, y)))
        replies = [sent(scheduler, ask(1, outputs=names)) for names in (("y", "x"), ("y",), None)]
        await settle()
        instance.finish()
        instance.finish()
        names = [[t.name for t in r.outputs] for r in await asyncio.gather(*replies)]
        assert names == [["y", "x"], ["y"], ["x", "y"]]

    play(scene())


def test_a_request_that_does_not_fit_never_waits() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        with pytest.raises(InvalidArgument, match="unexpected inference input 'z'"):
            await scheduler.infer(InferRequest("m", (pairs(1, name="z"),)))
        assert instance.works == []
        assert scheduler.stats.outcomes == {"invalid_argument": 1}

    play(scene())


def test_overload_by_requests() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, queue=Queue(max_requests=2))
        replies = [sent(scheduler, ask(n)) for n in range(3)]
        await settle()
        with pytest.raises(Overloaded) as caught:
            await scheduler.infer(ask(9))
        assert (
            caught.value.message == "model 'm' is busy: 2 requests wait and 2 may. Try again later"
        )
        assert caught.value.retry_after_s == 1.0
        assert caught.value.retryable
        instance.finish()
        instance.finish()
        await asyncio.gather(*replies)
        assert scheduler.stats.outcomes == {"overloaded": 1, "ok": 3}

    play(scene())


def test_overload_by_bytes() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, queue=Queue(max_bytes=20))
        replies = [sent(scheduler, ask(n)) for n in range(3)]
        await settle()
        with pytest.raises(Overloaded) as caught:
            await scheduler.infer(ask(9))
        assert caught.value.message == (
            "model 'm' is busy: 16 bytes of inputs wait, 8 more came and 20 may wait. "
            "Try again later"
        )
        instance.finish()
        instance.finish()
        await asyncio.gather(*replies)

    play(scene())


@pytest.mark.parametrize("warm_up_ns", [0, 10_000_000, 2**62])
def test_the_advice_to_come_back_is_in_seconds_not_centuries(warm_up_ns: int) -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, queue=Queue(max_requests=1), warm_up_ns=warm_up_ns)
        replies = [sent(scheduler, ask(n)) for n in range(2)]
        await settle()
        with pytest.raises(Overloaded) as caught:
            await scheduler.infer(ask(9))
        assert caught.value.retry_after_s is not None
        assert 1 <= caught.value.retry_after_s <= 60
        instance.finish()
        instance.finish()
        await asyncio.gather(*replies)

    play(scene())


def test_the_urgent_run_first() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, max_batch_size=1)
        replies = [sent(scheduler, ask(0))]
        await settle()
        replies += [
            sent(scheduler, ask(n, priority=p)) for n, p in ((1, 0), (2, 20), (3, 1), (4, 10))
        ]
        await settle()
        for _ in replies:
            instance.finish()
        await asyncio.gather(*replies)
        order = [work.inputs[0].array[0, 0] for work in instance.works]
        assert order == [0, 3, 1, 4, 2]

    play(scene())


def test_a_request_larger_than_a_batch_comes_back_as_one() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, max_batch_size=4)
        reply = sent(scheduler, ask(*range(10)))
        for _ in range(3):
            await settle()
            instance.finish()
        assert values(await reply) == list(range(10))
        assert instance.rows == [4, 4, 2]
        assert scheduler.stats.outcomes == {"ok": 1}
        assert scheduler.stats.rows == 10

    play(scene())


def test_max_queue_delay_waits_for_company() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, batching=Batching(max_queue_delay_s=0.02), max_batch_size=8)
        started_s = clock().time()
        replies = [sent(scheduler, ask(1)), sent(scheduler, ask(2))]
        await settle()
        assert not instance.is_busy
        await instance.wait_until_busy()
        assert clock().time() - started_s == pytest.approx(0.02, abs=0.001)
        assert instance.rows == [2]
        instance.finish()
        await asyncio.gather(*replies)
        assert scheduler.stats.batch_wait_ns.total == pytest.approx(20e6, rel=0.01)

    play(scene())


def test_a_full_batch_or_a_preferred_size_ends_the_wait() -> None:
    async def scene() -> None:
        instance = puppet()
        batching = Batching(max_queue_delay_s=1, preferred_batch_sizes=(4,))
        scheduler = schedule(instance, batching=batching, max_batch_size=8)
        replies = [sent(scheduler, ask(*range(n))) for n in (1, 3)]
        await settle()
        assert instance.rows == [4]
        instance.finish()
        replies.append(sent(scheduler, ask(*range(8))))
        await settle()
        assert instance.rows == [4, 8]
        instance.finish()
        await asyncio.gather(*replies)

    play(scene())


def test_requests_with_other_parameters_do_not_merge() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        replies = [sent(scheduler, ask(0))]
        await settle()
        wanted = [{"k": 1}, {"k": "1"}, {"k": True}, {"k": 1}, {}]
        replies += [sent(scheduler, ask(n, parameters=p)) for n, p in enumerate(wanted, 1)]
        await settle()
        while instance.is_busy:
            instance.finish()
        await asyncio.gather(*replies)
        assert instance.rows == [1, 2, 1, 1, 1]
        seen = [work.parameters for work in instance.works]
        assert [repr(s) for s in seen] == ["{}", "{'k': 1}", "{'k': '1'}", "{'k': True}", "{}"]

    play(scene())


def test_requests_of_other_shapes_do_not_merge() -> None:
    free = TensorSpec("x", DType.FP32, (-1, -1))

    def wide(length: int) -> InferRequest:
        return InferRequest(
            "m", (Tensor("x", DType.FP32, np.full((1, length), length, np.float32)),)
        )

    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance, signature=ModelSignature((free,), (free,)))
        replies = [sent(scheduler, wide(n)) for n in (1, 2, 3, 2)]
        await settle()
        while instance.is_busy:
            instance.finish()
        responses = await asyncio.gather(*replies)
        assert [work.inputs[0].shape for work in instance.works] == [(1, 1), (2, 2), (1, 3)]
        assert [r.outputs[0].shape for r in responses] == [(1, 1), (1, 2), (1, 3), (1, 2)]

    play(scene())


@pytest.mark.parametrize("warm_up_ns", [1, 10**9], ids=["inline", "thread"])
@pytest.mark.parametrize("max_batch_size", [0, 1, 8])
@pytest.mark.parametrize("num_rows", [0, 1])
def test_padding_is_taken_off_again(max_batch_size: int, num_rows: int, warm_up_ns: int) -> None:
    free = TensorSpec("x", DType.FP32, (-1, -1), ("", "n"))
    signature = ModelSignature((free,), (free,), batched=max_batch_size > 0)

    async def scene() -> None:
        instance = puppet(can_inline=True)
        scheduler = schedule(
            instance,
            signature=signature,
            warm_up_ns=warm_up_ns,
            max_batch_size=max_batch_size,
            batching=Batching(pad=Pad(to_multiple_of=8)),
        )
        requests = [
            InferRequest("m", (Tensor("x", DType.FP32, np.ones((num_rows, n), np.float32)),))
            for n in (3, 8, 5)
        ]
        replies = [sent(scheduler, request) for request in requests]
        await settle()
        while instance.is_busy:
            instance.finish()
        responses = await asyncio.gather(*replies)
        assert [r.outputs for r in responses] == [r.inputs for r in requests]
        assert {work.inputs[0].shape[1] for work in instance.works} == {8}

    play(scene())


def test_what_is_counted() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        replies = [sent(scheduler, ask(*range(n))) for n in (1, 2, 3)]
        await settle()
        clock()._jump.now_s += 0.25
        instance.finish()
        await settle()
        clock()._jump.now_s += 0.5
        instance.finish()
        await asyncio.gather(*replies)
        seen = scheduler.stats.snapshot()
        assert (seen.name, seen.version) == ("m", 3)
        assert (seen.inference_count, seen.execution_count) == (6, 2)
        assert (seen.success.count, seen.fail.count) == (3, 0)
        assert [b.batch_size for b in seen.batches] == [1, 5]
        assert seen.compute_infer.ns == pytest.approx(750e6, rel=0.001)
        assert seen.queue.count == 3
        assert seen.queue.ns == pytest.approx(500e6, rel=0.001)
        assert seen.success.ns == pytest.approx((0.25 + 0.75 + 0.75) * 1e9, rel=0.001)
        assert seen.last_inference_ms == clock().wall_ns() // 1_000_000
        assert scheduler.stats.execute_ns.count == scheduler.stats.batch_rows.count == 2
        assert scheduler.stats.request_ns.count == scheduler.stats.queue_ns.count == 3

    play(scene())


def test_the_stations_of_a_request() -> None:
    async def scene() -> None:
        instance = puppet()
        scheduler = schedule(instance)
        request = ask(1)
        reply = sent(scheduler, request)
        await instance.wait_until_busy()
        clock()._jump.now_s += 0.1
        instance.finish()
        await reply
        seen = request.timeline
        assert 0 < seen.started_ns == seen.queued_ns <= seen.executing_ns < seen.executed_ns
        assert seen.executed_ns - seen.executing_ns == pytest.approx(1e8, rel=0.001)

    play(scene())
