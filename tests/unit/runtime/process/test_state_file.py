"""What a worker says it is at, and what a liar can make of it."""

import os
from collections.abc import Iterator

import pytest

from penstock.runtime.process.state_file import IDLE, StateFile, WorkerState


@pytest.fixture
def state() -> Iterator[StateFile]:
    file = StateFile.make()
    yield file
    file.close()


def test_a_new_one_says_idle(state: StateFile) -> None:
    assert state.read() == IDLE
    assert state.begun(7) == 0


def test_another_descriptor_sees_what_is_written(state: StateFile) -> None:
    reader = StateFile(os.dup(state.fd))
    for channel in (3, 1, 3):
        state.begin(WorkerState(channel, 10, 20))
        assert reader.read() == WorkerState(channel, 10, 20)
        state.end()
        assert reader.read() == IDLE
    assert [reader.begun(channel) for channel in (1, 2, 3)] == [1, 0, 2]
    reader.close()


def test_what_is_cut_off_reads_as_idle(state: StateFile) -> None:
    state.begin(WorkerState(1, 10, 20))
    os.ftruncate(state.fd, 3)
    assert state.read() == IDLE
    assert state.begun(1) == 0
