"""Reading over HTTP by a clock that is stepped."""

from __future__ import annotations

import pytest

from penstock.repository.remote.http_reader import HttpReader
from tests.unit.repository.fake_disk import FakeClock

from .file_server import FileServer, Served

MIB = 1024 * 1024


class TickingClock(FakeClock):
    """Every look at it takes some seconds."""

    def __init__(self, step_s: float) -> None:
        super().__init__()
        self._step_s = step_s

    def monotonic_ns(self) -> int:
        self.step(self._step_s)
        return super().monotonic_ns()


def test_an_answer_that_drips_is_given_up(web: FileServer) -> None:
    web.files["/m"] = Served(b"x" * (12 * MIB))
    reader = HttpReader(10.0, clock=TickingClock(6.0))
    with pytest.raises(TimeoutError, match="bytes in 10 s"):
        for _ in reader.read(f"{web.url}/m", 0):
            pass


def test_a_long_answer_that_keeps_coming_is_not(web: FileServer) -> None:
    web.files["/m"] = Served(b"x" * (12 * MIB))
    reader = HttpReader(10.0, clock=TickingClock(0.0001))
    taken = sum(len(piece.data) for piece in reader.read(f"{web.url}/m", MIB))
    assert taken == 11 * MIB


def test_from_the_end_nothing_comes(web: FileServer) -> None:
    web.files["/m"] = Served(b"abc")
    assert list(HttpReader(10.0).read(f"{web.url}/m", 3)) == []


def test_another_file_under_the_same_name_comes_from_its_beginning(web: FileServer) -> None:
    web.files["/m"] = Served(b"abcdef", etag='"new"')
    pieces = list(HttpReader(10.0).read(f"{web.url}/m", 3, '"old"'))
    assert pieces[0].start == 0
    assert b"".join(piece.data for piece in pieces) == b"abcdef"
