"""The servers, one of each for all tests here, and the benches on them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from penstock.jobs.stream.memory_broker import MemorySource, MemoryTopic
from penstock.jobs.stream.open_broker import open_sink, open_source
from penstock.jobs.stream.record import Produced
from penstock.jobs.stream.source import StreamSink, StreamSource
from penstock.jobs.stream.spec import Input, Output
from penstock.jobs.stream.spec_brokers import (
    KafkaInput,
    KafkaOutput,
    NatsInput,
    NatsOutput,
    RabbitInput,
    RabbitOutput,
)
from penstock.jobs.stream.spec_redis import RedisInput, RedisOutput
from tests.brokers.bench import Bench
from tests.brokers.kafka_cluster import KafkaCluster
from tests.brokers.nats_server import NatsServer
from tests.brokers.rabbitmq_server import RabbitServer
from tests.stores.redis_server import RedisServer


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), "--appendonly", "yes")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def kafka_cluster() -> Iterator[KafkaCluster]:
    cluster = KafkaCluster()
    yield cluster
    cluster.kill()


class SpecBench:
    """A bench on a server."""

    def __init__(
        self, spec_in: Input, spec_out: Output, *, has_ids: bool, num_partitions: int
    ) -> None:
        self.spec_in = spec_in
        self.spec_out = spec_out
        self.has_ids = has_ids
        self.num_partitions = num_partitions

    def source(self) -> StreamSource:
        return open_source(self.spec_in)

    def sink(self) -> StreamSink:
        return open_sink(self.spec_out)


class _MemorySink:
    """Puts what it is sent into a topic."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic

    async def open(self) -> None: ...

    async def write(self, results: list[Produced]) -> None:
        for result in results:
            self._topic.put(result.value, key=result.key, partition=0)

    async def close(self) -> None: ...


class MemoryBench:
    """A bench on a topic of this process; a reader that leaves without a word is told of."""

    has_ids = False
    num_partitions = 1

    def __init__(self) -> None:
        self._topic = MemoryTopic("topic")

    def source(self) -> StreamSource:
        return _Leaving(self._topic)

    def sink(self) -> StreamSink:
        return _MemorySink(self._topic)


class _Leaving(MemorySource):
    def __init__(self, topic: MemoryTopic) -> None:
        super().__init__(topic)
        self._mine = topic

    async def close(self) -> None:
        self._mine.crashed(self)


def nats_bench(server: NatsServer, *, ack_wait_s: float = 2.0, create: bool = True) -> SpecBench:
    name = f"s{uuid.uuid4().hex}"
    spec_in = NatsInput(
        url=server.url, stream=name, subject=f"{name}.in", group="g", ack_wait_s=ack_wait_s,
        create=create,
    )  # fmt: skip
    spec_out = NatsOutput(url=server.url, stream=name, subject=f"{name}.in", create=create)
    return SpecBench(spec_in, spec_out, has_ids=True, num_partitions=1)


def rabbit_bench(server: RabbitServer, kind: str = "quorum") -> SpecBench:
    name = f"q{uuid.uuid4().hex}"
    return SpecBench(
        RabbitInput(url=server.url, queue=name, create=True, kind=kind),  # type: ignore[arg-type]
        RabbitOutput(url=server.url, queue=name, create=True, kind=kind),  # type: ignore[arg-type]
        has_ids=False,
        num_partitions=1,
    )


def kafka_bench(cluster: KafkaCluster, **options: str | float) -> SpecBench:
    name = f"t{uuid.uuid4().hex}"
    timing: dict[str, str | float] = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 200}
    return SpecBench(
        KafkaInput(
            url=cluster.url, topics=(name,), group=f"g-{name}", drain_s=3, options=timing | options
        ),
        KafkaOutput(url=cluster.url, topic=name, send_timeout_s=10),
        has_ids=False,
        num_partitions=4,
    )


def redis_bench(server: RedisServer) -> SpecBench:
    name = f"s{uuid.uuid4().hex}"
    return SpecBench(
        RedisInput(url=server.url, stream=name, group="g", min_idle_s=1.5),
        RedisOutput(url=server.url, stream=name),
        has_ids=True,
        num_partitions=1,
    )


BROKERS = ("memory", "redis", "nats", "rabbitmq", "rabbitmq-classic", "kafka")


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(broker: str, request: pytest.FixtureRequest) -> Bench:
    """A new stream on each broker."""
    if broker == "memory":
        return MemoryBench()
    if broker == "redis":
        return redis_bench(request.getfixturevalue("redis_server"))
    if broker == "nats":
        return nats_bench(request.getfixturevalue("nats_server"))
    if broker == "kafka":
        return kafka_bench(request.getfixturevalue("kafka_cluster"))
    kind = "classic" if "classic" in broker else "quorum"
    return rabbit_bench(request.getfixturevalue("rabbit_server"), kind)
