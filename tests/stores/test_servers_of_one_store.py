"""Several servers, of one process and of several, that share one control store."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fault.fleet import EXPLICIT, save_who
from tests.interop.live import AT_ONCE, Live, eventually, text_input
from tests.interop.models import save_version
from tests.stores.postgres_server import PostgresServer
from tests.stores.redis_server import RedisServer
from tests.stores.test_control_server_faults import Server

pytestmark = [pytest.mark.fault, pytest.mark.timeout(180)]

LOAD = "/v2/repository/models/m/load"
UNLOAD = "/v2/repository/models/m/unload"


@pytest.fixture(params=["redis", "postgres"])
def store(request: pytest.FixtureRequest) -> Server:
    """A server of its own, started and empty, that keeps what it has confirmed."""
    if request.param == "postgres":
        postgres: PostgresServer = request.getfixturevalue("fresh_postgres")
        return postgres
    redis: RedisServer = request.getfixturevalue("make_redis")("--appendonly", "yes")
    redis.start()
    return redis


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    save_who(root)
    save_version(root, "m", 1)
    return root


@contextmanager
def serving(models: Path, url: str, workers: int) -> Iterator[Live]:
    arguments = (*EXPLICIT, *AT_ONCE, "--set", "grpc.enabled=false", "--workers", str(workers))
    with Live([models], *arguments, "--set", f"control_store={url}", folder=models.parent) as live:
        yield live


def is_loaded(server: Live) -> bool:
    return server.ask("GET", "/v2/models/m/ready").status == 200


def test_an_order_to_one_server_holds_for_all(store: Server, models: Path) -> None:
    with serving(models, store.url, 2) as one, serving(models, store.url, 1) as two:
        assert one.ask("POST", LOAD).status == 200
        assert is_loaded(one)
        assert is_loaded(two), "the answer comes when all have it"
        assert two.ask("POST", "/v2/logging", {"log_verbose_level": 1}).status == 200
        assert one.ask("GET", "/v2/logging").json()["log_verbose_level"] == 1
        with serving(models, store.url, 1) as late:
            assert is_loaded(late), "it comes up with what was ordered"
            late.process.send_signal(signal.SIGKILL)
            late.process.wait(10)
        assert two.ask("POST", UNLOAD).status == 200  # once the dead one is past waiting for
        assert not is_loaded(one)
        for server in (one, two):
            text = server.log_text()
            assert "is taken back" not in text, "a server that starts signs no other one's off"
            assert "Traceback" not in text


def test_servers_whose_store_is_gone_serve_on_and_say_so(store: Server, models: Path) -> None:
    with serving(models, store.url, 2) as one, serving(models, store.url, 1) as two:
        assert one.ask("POST", LOAD).status == 200
        assert {s.metric("penstock_control_store_up") for s in (one, two)} == {1}
        store.kill()
        for server in (one, two):
            eventually(lambda server=server: server.metric("penstock_control_store_up") == 0)
            reply = server.ask("POST", UNLOAD)
            assert reply.status == 503, reply.body
            assert "the control store" in reply.error
            assert not re.search(r"127\.0\.0\.1|:\d{4,}", reply.error), "an address"
            assert server.infer("m", text_input("a")).status == 200
        store.start()
        for server in (one, two):
            eventually(lambda server=server: server.metric("penstock_control_store_up") == 1)
        assert two.ask("POST", UNLOAD).status == 200
        assert not is_loaded(one)
        assert "Traceback" not in one.log_text() + two.log_text()
