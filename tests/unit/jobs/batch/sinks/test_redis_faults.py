"""RedisSink: which errors may pass."""

from __future__ import annotations

import pytest
from redis import RedisError, exceptions

from penstock.core.errors import JobOutputError
from penstock.jobs.batch.sinks.redis import RedisSink
from penstock.jobs.batch.spec_tables import RedisOutput
from penstock.stores.store_url import parse_store_url

URL = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (exceptions.ReadOnlyError("You can't write against a read only replica."), True),
        (exceptions.ClusterDownError("The cluster is down"), True),
        (exceptions.TryAgainError("Multiple keys request during rehashing of slot"), True),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), True),
        (exceptions.ResponseError("Command # 1 (SET a b) of pipeline caused error: BUSY x"), True),
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), False),
        (exceptions.AuthenticationError("invalid password"), False),
    ],
)
def test_what_a_server_says_for_now_may_pass(error: RedisError, *, passes: bool) -> None:
    sink = RedisSink(parse_store_url(URL), RedisOutput(url=URL, key="row:{id}"))
    with pytest.raises(JobOutputError) as raised, sink.translated():
        raise error
    assert raised.value.retryable is passes
