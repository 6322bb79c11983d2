"""Processes that ask one another for their numbers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.server import siblings
from penstock.server.share import socket_path
from penstock.server.siblings import SiblingDoor, SiblingProcesses
from penstock.telemetry.families import Family, MetricSample
from penstock.telemetry.stats import EdgeStats, ModelStats, ModelStatsSnapshot

PAGE = [Family("n", "counter", "what", (MetricSample("n_total", (("a", "b"),), 3.0),))]


class FakeService:
    """Knows two versions of one model."""

    def counted(self, name: str, version: int | None) -> list[ModelStatsSnapshot]:
        every = [ModelStats("m", 1), ModelStats("m", 2)]
        return [one.snapshot() for one in every if version in (None, one.version)]


@pytest.fixture
def edge() -> EdgeStats:
    return EdgeStats()


@pytest.fixture
def one(tmp_path: Path, edge: EdgeStats) -> SiblingProcesses:
    return SiblingProcesses(tmp_path, 1, edge, timeout_s=0.2)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[SiblingDoor]:
    service: Any = FakeService()
    door = SiblingDoor(socket_path(tmp_path, 2), service, lambda: PAGE)
    await door.open()
    yield door
    await door.close()


async def test_nobody_else(one: SiblingProcesses, edge: EdgeStats) -> None:
    assert await one.metrics() == []
    assert edge.silent_processes == 0


async def test_what_the_other_one_answers(
    one: SiblingProcesses, two: SiblingDoor, edge: EdgeStats
) -> None:
    assert await one.metrics() == [PAGE]
    assert [found.version for found in await one.statistics("m", None)] == [1, 2]
    assert await one.statistics("m", 2) == [ModelStats("m", 2).snapshot()]
    assert edge.silent_processes == 0


async def test_a_process_does_not_ask_itself(tmp_path: Path, two: SiblingDoor) -> None:
    assert await SiblingProcesses(tmp_path, 2, EdgeStats()).metrics() == []


async def test_one_that_is_dead_is_left_out_and_counted(
    tmp_path: Path, one: SiblingProcesses, two: SiblingDoor, edge: EdgeStats
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path(tmp_path, 3)))
    assert await one.metrics() == [PAGE]
    assert edge.silent_processes == 1


async def test_one_that_hangs_is_left_out_in_time(
    tmp_path: Path, one: SiblingProcesses, two: SiblingDoor, edge: EdgeStats
) -> None:
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(socket_path(tmp_path, 3)))
        hung.listen()
        async with asyncio.timeout(2):
            assert await one.metrics() == [PAGE]
    assert edge.silent_processes == 1


async def test_one_that_talks_nonsense_is_left_out(
    tmp_path: Path, one: SiblingProcesses, edge: EdgeStats
) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xc1 nonsense")
        writer.close()

    server = await asyncio.start_unix_server(babble, socket_path(tmp_path, 3))
    assert await one.metrics() == []
    assert edge.silent_processes == 1
    server.close()


async def test_nonsense_does_not_hurt_the_one_that_is_asked(
    tmp_path: Path, one: SiblingProcesses, two: SiblingDoor
) -> None:
    for question in (b"\n", b"{}\n", b'{"what": "secrets"}\n', b"\xff\xff"):
        reader, writer = await asyncio.open_unix_connection(socket_path(tmp_path, 2))
        writer.write(question)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
    assert await one.metrics() == [PAGE]


async def test_the_socket_of_an_earlier_process_is_replaced(
    tmp_path: Path, one: SiblingProcesses
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path(tmp_path, 2)))
    service: Any = FakeService()
    door = SiblingDoor(socket_path(tmp_path, 2), service, lambda: PAGE)
    await door.open()
    assert await one.metrics() == [PAGE]
    await door.close()
    assert await one.metrics() == []


async def test_one_that_falls_silent_stands_with_its_last_numbers_for_a_while(
    tmp_path: Path, one: SiblingProcesses, edge: EdgeStats, monkeypatch: pytest.MonkeyPatch
) -> None:
    service: Any = FakeService()
    path = socket_path(tmp_path, 2)
    door = SiblingDoor(path, service, lambda: PAGE)
    await door.open()
    assert await one.metrics() == [PAGE]
    await door.close()
    assert await one.metrics() == [], "it has left"
    await door.open()
    assert await one.metrics() == [PAGE]
    await door.close()
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(path))
        assert await one.metrics() == [PAGE]
        assert await one.metrics() == [PAGE]
        assert edge.silent_processes == 2
        assert await one.statistics("m", None) == []
        monkeypatch.setattr(siblings, "_KEPT_S", 0.0)
        assert await one.metrics() == []
