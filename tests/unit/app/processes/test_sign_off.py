"""What is written down of a process that died."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.app.processes.control_setting import check_store
from penstock.app.processes.sign_off import sign_off, sign_off_lost
from penstock.app.processes.this_host import this_host
from penstock.stores.control_store import Outcome, ServingProcess, Wish
from penstock.stores.sqlite_control_store import SqliteControlStore
from penstock.testing.fake_clock import FakeClock
from penstock.testing.fake_control_store import FakeControlStore

NO_PID = 2**22 + 1
"""More than Linux gives."""
DEAD = ServingProcess("dead", 2)


@pytest.fixture
async def store() -> FakeControlStore:
    fake = FakeControlStore()
    await fake.report(DEAD)
    return fake


async def test_a_death_without_a_change_under_way_changes_nothing(store: FakeControlStore) -> None:
    await store.change(Wish("model/m", "x"))
    await store.attempt("dead", "model/m", 1)
    await store.report(DEAD, [Outcome("model/m", 1)])
    assert await sign_off(store, "dead", 2) == []
    assert [one.value for one in store.changes] == ["x"]
    assert "dead" not in store.processes


@pytest.mark.parametrize("before", ["x", None])
async def test_what_it_died_of_is_taken_back(store: FakeControlStore, before: str | None) -> None:
    if before is not None:
        await store.change(Wish("model/m", before))
    deadly = await store.change(Wish("model/m", "deadly"))
    assert deadly is not None
    await store.attempt("dead", "model/m", deadly)
    assert await sign_off(store, "dead", 2) == ["model/m"]
    last = store.changes[-1]
    assert (last.value, last.undoes, last.who) == (before, deadly, "supervisor")
    assert last.why == f"process 2 died while it applied change {deadly} of 'model/m'"


async def test_a_batch_job_is_never_taken_back(store: FakeControlStore) -> None:
    taken = await store.change(Wish("job/place/a", {"state": "queued"}))
    assert taken is not None
    await store.attempt("dead", "job/place/a", taken)
    assert await sign_off(store, "dead", 2) == []
    assert store.changes[-1].value == {"state": "queued"}


async def test_what_was_overtaken_is_left_alone(store: FakeControlStore) -> None:
    deadly = await store.change(Wish("model/m", "deadly"))
    assert deadly is not None
    await store.attempt("dead", "model/m", deadly)
    await store.change(Wish("model/m", "later"))
    assert await sign_off(store, "dead", 2) == []
    assert store.changes[-1].value == "later"


async def test_what_takes_another_change_back_stays(store: FakeControlStore) -> None:
    """A process that dies while it goes back must not bring back what was known to be bad."""
    await store.change(Wish("model/m", "good"))
    bad = await store.change(Wish("model/m", "bad"))
    assert bad is not None
    back = await store.change(Wish("model/m", "good", undoes=bad))
    assert back is not None
    await store.attempt("dead", "model/m", back)
    assert await sign_off(store, "dead", 2) == []
    assert store.changes[-1].value == "good"


@pytest.mark.parametrize(
    ("seen_ago_s", "whose_pid", "is_lost"),
    [
        (3600, "somebody's", True),
        (1, "nobody's", True),  # the server came again at once
        (1, "mine", True),  # as the first process of a container always is
        (1, "somebody's", False),
    ],
)
async def test_a_server_starts_without_what_killed_the_last_one(
    tmp_path: Path, seen_ago_s: int, whose_pid: str, is_lost: bool
) -> None:
    clock = FakeClock()
    store = SqliteControlStore(tmp_path / "control.db", is_new=True, clock=clock)
    pids = {"mine": os.getpid(), "somebody's": os.getppid(), "nobody's": NO_PID}
    lone = ServingProcess("lone", 0, pids[whose_pid])
    await store.report(lone)
    await store.change(Wish("model/m", "good"))
    deadly = await store.change(Wish("model/m", "deadly"))
    assert deadly is not None
    await store.attempt("lone", "model/m", deadly)
    clock.advance(seen_ago_s)
    await check_store(store, "sqlite:///control.db")
    (last,) = await store.desired()
    assert last.value == ("good" if is_lost else "deadly")
    assert bool(await store.standings("model/m", 1e9)) != is_lost
    await store.close()


@pytest.mark.parametrize(("host", "is_lost"), [("web-2#ab12cd34", False), ("here", True)])
async def test_nobody_knows_of_another_host_whether_a_pid_is_there(
    store: FakeControlStore, host: str, is_lost: bool
) -> None:
    await store.leave(DEAD.id)
    await store.report(ServingProcess("far", 1, NO_PID, this_host() if host == "here" else host))
    deadly = await store.change(Wish("model/m", "deadly"))
    assert deadly is not None
    await store.attempt("far", "model/m", deadly)
    await sign_off_lost(store)
    assert ("far" not in store.processes) == is_lost
    assert (store.changes[-1].undoes == deadly) == is_lost
