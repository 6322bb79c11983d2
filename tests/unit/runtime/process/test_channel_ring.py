"""One worker and several who ask it: turns, and those who go or do not read."""

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from penstock.core.tensor import Tensor
from penstock.runtime.process.channel_ring import ChannelRing
from penstock.runtime.process.frame import Execute, Log, Ping, encode_head
from penstock.runtime.process.shared_channel import SharedChannel
from penstock.runtime.process.tensor_block import pack
from penstock.runtime.process.worker_channel import WorkerChannel

EXECUTE = encode_head(Execute([], {}))
BIG = 4_000_000


class Table:
    """A ring, and the other ends of its sockets."""

    def __init__(self) -> None:
        self.server, own = socket.socketpair()
        self.own = WorkerChannel(own)
        self.ring = ChannelRing(self.own)
        self.guests: dict[int, socket.socket] = {}

    def attach(self, *numbers: int) -> None:
        for number in numbers:
            self.guests[number], theirs = socket.socketpair()
            self.ring.attach(number, theirs.detach())

    def turns(self, count: int) -> list[int]:
        return [self.turn().number for _ in range(count)]

    def turn(self) -> WorkerChannel:
        received = self.ring.receive()
        assert received is not None
        return received[0]


@pytest.fixture
def table() -> Iterator[Table]:
    table = Table()
    yield table
    for end in (table.server, *table.guests.values(), *table.ring._shared, table.own):
        end.close()
    table.ring._selector.close()


def test_alone_it_hears_its_server_and_its_end(table: Table) -> None:
    table.server.send(encode_head(Ping()))
    assert table.turn().number == 0
    table.server.close()
    assert table.ring.receive() is None


def test_its_server_is_heard_and_its_end_seen_among_others(table: Table) -> None:
    table.attach(1)
    table.server.send(encode_head(Ping()))
    assert table.turns(1) == [0]
    table.server.close()
    assert table.ring.receive() is None


def test_each_has_one_turn_before_any_has_two(table: Table) -> None:
    table.attach(1, 2, 3)
    for number in (2, 1, 2, 2, 3, 1):
        table.guests[number].send(EXECUTE)
    turns = table.turns(6)
    assert sorted(turns[:3]) == [1, 2, 3]
    assert sorted(turns[3:5]) == [1, 2]
    assert turns[5] == 2


def test_half_a_message_keeps_nobody_waiting(table: Table) -> None:
    table.attach(1, 2)
    table.guests[1].send(EXECUTE[:-1])
    table.guests[2].send(EXECUTE)
    assert table.turns(1) == [2]
    table.guests[1].send(EXECUTE[-1:])
    assert table.turns(1) == [1]


def test_what_one_sent_that_has_gone_is_not_heard(table: Table) -> None:
    table.attach(1, 2)
    gone = table.guests.pop(1)
    gone.send(EXECUTE)
    gone.close()
    table.guests[2].send(EXECUTE)
    assert table.turns(1) == [2]
    assert table.ring.first.number == 2


def test_who_does_not_read_an_answer_gets_it_later_and_blocks_nobody(table: Table) -> None:
    table.attach(1, 2)
    table.guests[1].send(EXECUTE)
    slow = table.turn()
    tensor = Tensor.from_array("y", np.zeros(BIG, np.uint8))
    slow.send(Log(0, "", ""), pack([tensor], None))
    assert isinstance(slow, SharedChannel)
    assert slow.has_unsent
    table.guests[2].send(EXECUTE)
    assert table.turns(1) == [2]
    got = 0
    while got < BIG:
        got += len(table.guests[1].recv(1 << 20))
        table.guests[2].send(EXECUTE)
        assert table.turns(1) == [2]
    assert not slow.has_unsent


def test_an_answer_to_nobody_is_dropped(table: Table) -> None:
    table.attach(1)
    table.guests[1].send(EXECUTE)
    channel = table.turn()
    table.guests.pop(1).close()
    channel.send(Log(0, "", ""))
    assert isinstance(channel, SharedChannel)
    assert not channel.has_unsent
