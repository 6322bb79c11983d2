"""Clients of the gRPC door that do anything, in any order: nothing here breaks, or is left."""

from __future__ import annotations

import asyncio
import gzip
import logging
import random
from collections.abc import Callable
from typing import Any

import pytest
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.fault.http2_client import PREFACE, head, message
from tests.unit.server.grpc_http2.wire import Wire

pytestmark = pytest.mark.fault

IDS = (1, 3, 5, 7, 9, 11)
PATHS = ("/t/Echo", "/t/Each", "/t/Wait", "/x")
MORE: tuple[dict[str, str], ...] = (
    {},
    {"grpc_timeout": "1m"},
    {"grpc_encoding": "gzip"},
    {"method": "GET"},
    {"x_long": "y" * 3000},
)
SETTINGS: tuple[dict[int, int], ...] = ({}, {4: 0}, {4: 2**31 - 1}, {1: 0}, {1: 65_536}, {3: 0})


class RandomClient:
    """A client, a server's connection, and chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        one_of = self.chance.choice
        self.wire = Wire(
            max_held_bytes=one_of((1000, 10**6)),
            stream_window_bytes=one_of((65_535, 10**6)),
            max_header_bytes=2000,
            request_timeout_s=one_of((0.0, 60.0, 60.0)),
            write_timeout_s=one_of((0.0, 60.0, 60.0)),
            max_streams=one_of((3, 256)),
        )

    async def play(self) -> None:
        """Do a number of things, then go."""
        chance, wire = self.chance, self.wire
        if chance.random() < 0.9:
            wire.feed(PREFACE)
        for _ in range(chance.randrange(5, 60)):
            wire.feed(self._bytes())
            if chance.random() < 0.5:
                step = chance.choice(self._steps())
                step()
                await asyncio.sleep(0)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        await wire.close()
        assert not wire.connection._session.streams

    def _steps(self) -> list[Callable[[], object]]:
        """What may happen to the server meanwhile."""
        connection, now_s = self.wire.connection, asyncio.get_running_loop().time()
        return [
            lambda: None,
            lambda: None,
            connection.pause_writing,
            connection.resume_writing,
            lambda: connection.sweep(now_s + self.chance.choice((0, 1, 100))),
            self.wire.methods.go.set,
            connection.drain if self.chance.random() < 0.2 else connection.flush_soon,
        ]

    def _bytes(self) -> bytes:
        """A frame, a broken one, or no frame at all."""
        chance = self.chance
        frame = chance.choice((self._head, self._head, self._data, self._data, self._control))()
        data = frame.serialize()
        if chance.random() < 0.05:
            wrong = bytearray(data)
            wrong[chance.randrange(len(wrong))] = chance.randrange(256)
            return bytes(wrong)
        return data if chance.random() < 0.95 else chance.randbytes(chance.randrange(40))

    def _head(self) -> Frame:
        chance = self.chance
        fields = head(chance.choice(PATHS), **chance.choice(MORE))
        flags = chance.choice(((), (), ("END_STREAM",)))
        return self.wire.headers(chance.choice(IDS), fields, *flags)

    def _data(self) -> Frame:
        chance = self.chance
        bodies = [
            message(chance.randbytes(chance.choice((0, 3, 40, 9000, 70_000)))),
            message(gzip.compress(b"a" * chance.choice((3, 10**5))), 1),
            chance.randbytes(9),
            b"",
            message(b"bad"),
        ]
        data = chance.choice(bodies)[: chance.choice((3, 16_000, 16_384))]
        return DataFrame(chance.choice(IDS), data, flags=chance.choice(((), ("END_STREAM",))))

    def _control(self) -> Frame:
        chance = self.chance
        stream_id: int = chance.choice((0, *IDS))
        made: list[Callable[[], Frame]] = [
            lambda: RstStreamFrame(chance.choice(IDS), 8),
            lambda: WindowUpdateFrame(stream_id, chance.choice((1, 1000, 65_535, 2**31 - 1))),
            lambda: SettingsFrame(0, settings=chance.choice(SETTINGS)),
            lambda: PingFrame(0, opaque_data=b"12345678", flags=chance.choice(((), ("ACK",)))),
            lambda: GoAwayFrame(0, last_stream_id=chance.choice((0, 5))),
        ]
        return chance.choice(made)()


@pytest.fixture
def log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("penstock"), "propagate", True)
    return caplog


async def test_a_thousand_clients(log: pytest.LogCaptureFixture) -> None:
    broken: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context))
    for seed in range(1000):
        await RandomClient(seed).play()
        assert not broken, f"seed {seed}"
        assert not log.records, f"seed {seed}"
