"""A store that is down, slow or mad neither fails nor slows a prediction; and what a key holds."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import StoreError
from penstock.stores.breaker import BreakerOptions
from penstock.stores.prediction_store import prediction_key, prediction_prefix
from tests.stores.playing import Computer, Play, turns

names = st.text(max_size=12)
versions = st.integers(0, 3)
inputs = st.binary(max_size=8)


@given(names, versions, inputs, names, versions, inputs)
def test_a_key_tells_model_version_and_input_apart_and_nothing_else(
    model: str, version: int, value: bytes, model2: str, version2: int, value2: bytes
) -> None:
    same = (model, version, value) == (model2, version2, value2)
    assert (prediction_key(model, version, value) == prediction_key(model2, version2, value2)) is (
        same
    )


@given(names, versions, inputs, names, versions)
def test_a_prefix_holds_the_keys_of_its_own_model_only(
    model: str, version: int, value: bytes, model2: str, version2: int
) -> None:
    key = prediction_key(model, version, value)
    assert key.startswith(prediction_prefix(model2)) is (model == model2)
    assert key.startswith(prediction_prefix(model2, version2)) is (
        (model, version) == (model2, version2)
    )


def test_a_key_is_readable() -> None:
    assert prediction_key("tweets", 3, b"hi").startswith("p:tweets:3:")
    assert len(prediction_key("tweets", 3, b"hi")) == len("p:tweets:3:") + 32
    assert prediction_prefix("a:b%", 1) == "p:a%3Ab%25:1:"


async def predict(play: Play, key: str) -> bytes | Exception | None:
    (lookup,) = await play.store.get_or_compute([key], Computer())
    return lookup.value


@pytest.mark.parametrize("error", [StoreError("down"), RuntimeError("bug"), ValueError()])
async def test_a_store_that_fails_is_a_miss_and_then_left_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    play = Play(breaker=BreakerOptions(failures=3, open_s=10), max_pending_items=0)
    play.backend.fail(error)
    with caplog.at_level(logging.INFO, "penstock.stores"):
        for n in range(10):
            assert await predict(play, f"k{n}") == b"v0"
        assert play.backend.calls == ["get_many"] * 3
        assert play.store.stats.is_open["read"]
        play.clock.advance(10)
        play.backend.heal()
        assert await predict(play, "k") == b"v0"
        assert not play.store.stats.is_open["read"]
    texts = [record.message for record in caplog.records if "dropped" not in record.message]
    assert len(texts) == 2
    assert "reads go on without it" in texts[0]
    assert "reads work again" in texts[1]


async def test_a_probe_that_fails_costs_one_call() -> None:
    play = Play(breaker=BreakerOptions(failures=1, open_s=10), max_pending_items=0)
    play.backend.fail()
    await predict(play, "a")
    play.clock.advance(10)
    for n in range(5):
        await predict(play, f"b{n}")
    assert play.backend.calls == ["get_many"] * 2


async def test_a_slow_store_costs_the_timeout_a_few_times() -> None:
    play = Play(timeout_s=0.01, breaker=BreakerOptions(failures=3), max_pending_items=0)
    play.backend.hang()
    for n in range(10):
        assert await predict(play, f"k{n}") == b"v0"
    assert play.backend.calls == ["get_many"] * 3
    assert play.store.stats.errors == {("read", "timeout"): 3}


async def test_get_never_raises_and_finds_what_waits() -> None:
    play = Play()
    await play.store.get_or_compute(["k"], Computer())
    play.backend.fail()
    assert await play.store.get(["no", "k"]) == [None, b"v0"]
    assert await play.store.get([]) == []
    await turns()


async def test_writes_that_fail_do_not_stop_reads() -> None:
    play = Play(breaker=BreakerOptions(failures=1))
    await play.memory.set_many([])
    await predict(play, "k")
    play.backend.fail()
    await turns()
    assert play.store.stats.is_open == {"read": False, "write": True}
    play.backend.heal()
    calls = len(play.backend.calls)
    await predict(play, "other")
    assert play.backend.calls[calls:] == ["get_many"]


async def test_latency_is_observed() -> None:
    play = Play()
    await predict(play, "k")
    await play.drained()
    assert play.store.stats.read_ns.count == play.store.stats.write_ns.count == 1
