"""What callers are told of a Redis that cannot be reached."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from penstock.core.errors import StoreError
from penstock.stores.redis_link import RedisLink
from penstock.stores.store_url import parse_store_url


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Error 111 connecting to 10.0.0.7:6379. Connection refused.", "cannot be reached"),
        ("Connection closed by server.", "Connection closed by server."),
    ],
)
async def test_no_address_is_told(said: str, told: str) -> None:
    address = parse_store_url("redis://10.0.0.7:6379/0")
    link = RedisLink(address, "the store", max_connections=1, answer_timeout_s=1.0)
    with pytest.raises(StoreError) as raised, link.translated():
        raise RedisConnectionError(said)
    assert raised.value.message == f"the store: {told}"
    await link.close()
