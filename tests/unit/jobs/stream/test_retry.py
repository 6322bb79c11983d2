"""Patience: how often a step is tried, and what is counted."""

from __future__ import annotations

import asyncio
import logging

import pytest

from penstock.core.errors import StreamError
from penstock.jobs.stream.redis_client import RedisStream, redis_address
from penstock.jobs.stream.retry import BackOff, Patience
from penstock.telemetry.stream_stats import StreamStats


class _Step:
    """Fails so many times, then answers."""

    def __init__(self, failures: int, *, retryable: bool = True) -> None:
        self._failures = failures
        self._retryable = retryable
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise StreamError(f"failure {self.calls}", retryable=self._retryable)
        return "done"


@pytest.fixture
async def redis_fault() -> StreamError:
    """What a stream of Redis says of a server that is not there."""
    stream = RedisStream(redis_address("unix:///nowhere/redis.sock"), "tweets")
    with pytest.raises(StreamError) as caught:
        await stream.call("PING")
    await stream.close()
    return caught.value


class _Waiting:
    def __init__(self) -> None:
        self.stats = StreamStats("s")
        self.waits: list[float] = []
        self.patience = Patience(self.stats, BackOff(initial_s=0.1, max_s=1.0), self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


async def test_a_step_that_succeeds_is_called_once() -> None:
    step, waiting = _Step(0), _Waiting()
    assert await waiting.patience("write", step) == "done"
    assert (step.calls, waiting.waits, waiting.stats.retries) == (1, [], {})


async def test_each_failure_is_counted_and_waited_after() -> None:
    step, waiting = _Step(3), _Waiting()
    assert await waiting.patience("write", step) == "done"
    assert (step.calls, len(waiting.waits), waiting.stats.retries) == (4, 3, {"write": 3})


async def test_what_will_not_pass_is_tried_once() -> None:
    step, waiting = _Step(1, retryable=False), _Waiting()
    with pytest.raises(StreamError, match="failure 1"):
        await waiting.patience("write", step)
    assert (step.calls, waiting.stats.retries) == (1, {})


async def test_the_last_attempt_raises_what_it_found() -> None:
    step, waiting = _Step(9), _Waiting()
    with pytest.raises(StreamError, match="failure 3"):
        await waiting.patience("open", step, attempts=3)
    assert (step.calls, waiting.stats.retries) == (3, {"open": 2})


async def test_the_log_says_once_that_it_is_tried_again(
    redis_fault: StreamError, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise redis_fault

    with (
        caplog.at_level(logging.WARNING, "penstock.stream"),
        pytest.raises(StreamError, match="; check that the server runs") as caught,
    ):
        await _Waiting().patience("open", fail, attempts=2)
    assert "tried again" not in caught.value.message
    (line,) = caplog.messages
    assert line.count("tried again") == 1


async def test_each_failure_is_judged_once() -> None:
    step, waiting, judged = _Step(2), _Waiting(), list[str]()

    def may_pass(error: BaseException) -> bool:
        judged.append(str(error))
        return True

    await waiting.patience("predict", step, may_pass=may_pass)
    assert len(judged) == 2
    assert "failure 1" in judged[0]


async def test_a_step_that_is_cancelled_is_not_tried_again() -> None:
    waiting = _Waiting()

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await waiting.patience("write", cancelled, may_pass=lambda err: True)
    assert waiting.waits == []
