"""The control store in a real file: order, expectations, history, and files that break."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.core.errors import StoreError, StoreFault
from penstock.stores import control_statements
from penstock.stores.control_store import Outcome, ServingProcess, Standing, Wish
from penstock.stores.sqlite_control_store import SqliteControlStore
from penstock.testing.fake_clock import FakeClock
from tests.stores.test_sqlite_faults import held

ME, OTHER = ServingProcess("one", 1, 11), ServingProcess("two", 2, 22)


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def is_there(path: Path) -> bool:
    return path.exists()


def move(path: Path, to: Path) -> None:
    path.rename(to)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteControlStore]:
    opened = SqliteControlStore(path, is_new=True)
    await opened.desired()
    yield opened
    await opened.close()


@pytest.fixture
async def other(path: Path, store: SqliteControlStore) -> AsyncIterator[SqliteControlStore]:
    """The same file, as another process has it open."""
    opened = SqliteControlStore(path)
    yield opened
    await opened.close()


async def test_the_last_change_of_each_subject_is_desired(
    store: SqliteControlStore, other: SqliteControlStore
) -> None:
    for subject, value in (("a", 1), ("b", {"x": [1, None]}), ("a", "later")):
        await store.change(Wish(subject, value, "REST", "load"))
    desired = await other.desired()
    assert [(c.revision, c.subject, c.value) for c in desired] == [
        (2, "b", {"x": [1, None]}),
        (3, "a", "later"),
    ]
    assert [c.revision for c in await other.desired(after=2)] == [3]


async def test_every_change_is_kept_with_who_and_why(path: Path) -> None:
    clock = FakeClock()
    store = SqliteControlStore(path, is_new=True, clock=clock)
    await store.change(Wish("a", 1, "REST", "load"))
    clock.advance(2)
    await store.change(Wish("a", None, "REST", "change 1 failed", undoes=1))
    young, old = await store.history("a")
    assert (young.revision, young.value, young.why, young.undoes) == (2, None, "change 1 failed", 1)
    assert (old.who, old.why, young.at_ms - old.at_ms) == ("REST", "load", 2000)
    assert await store.history("b") == []
    assert len(await store.history(limit=1)) == 1
    await store.close()


async def test_a_change_that_expects_another_state_is_not_made(store: SqliteControlStore) -> None:
    first = await store.change(Wish("a", 1), expected=0)
    assert first == 1
    assert await store.change(Wish("a", 2), expected=0) is None
    assert await store.change(Wish("a", 2), expected=first) == 2
    assert await store.change(Wish("b", 1), expected=0) == 3


async def test_many_writers_get_one_order(
    store: SqliteControlStore, other: SqliteControlStore
) -> None:
    wishes = [one.change(Wish("a", n)) for n in range(20) for one in (store, other)]
    revisions = await asyncio.gather(*wishes)
    assert sorted(filter(None, revisions)) == list(range(1, 41))


async def test_revisions_go_on_after_a_restart(path: Path, store: SqliteControlStore) -> None:
    await store.change(Wish("a", 1))
    await store.close()
    again = SqliteControlStore(path, is_new=True)
    assert [c.value for c in await again.desired()] == [1]
    assert await again.change(Wish("a", 2)) == 2
    await again.close()


async def test_the_version_tells_of_every_write(
    store: SqliteControlStore, other: SqliteControlStore
) -> None:
    before = await store.version()
    assert await store.version() == before
    await other.change(Wish("a", 1))
    changed = await store.version()
    assert changed != before
    await store.report(ME)
    assert await store.version() != changed


async def test_standings_are_those_of_the_living(path: Path) -> None:
    clock = FakeClock()
    store = SqliteControlStore(path, is_new=True, clock=clock)
    await store.report(ME, [Outcome("a", 3, "LoadFailed", "no")])
    await store.report(OTHER)
    failed = Standing(ME, Outcome("a", 3, "LoadFailed", "no"))
    waiting = Standing(OTHER, Outcome("a", 0))
    assert await store.standings("a", 5) == [failed, waiting]
    clock.advance(6)
    await store.report(OTHER, [Outcome("a", 4)])
    assert await store.standings("a", 5) == [Standing(OTHER, Outcome("a", 4))]
    await store.leave(OTHER.id)
    await store.leave("nobody")
    assert await store.standings("a", 5) == []
    clock.advance(25 * 3600)
    await store.report(OTHER)
    assert await store.standings("a", 10**6) == [Standing(OTHER, Outcome("a", 0))]
    await store.close()


async def test_old_history_goes_and_what_is_desired_stays(
    store: SqliteControlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_statements, "_KEPT_CHANGES", 5)
    await store.change(Wish("still", 1))
    for n in range(20):
        await store.change(Wish("busy", n))
    assert [c.subject for c in await store.desired()] == ["still", "busy"]
    assert len(await store.history()) == 6


async def fault_of(store: SqliteControlStore) -> StoreFault:
    with pytest.raises(StoreError) as refusal:
        await store.change(Wish("a", "refused"))
    return refusal.value.fault


async def test_locked(path: Path, store: SqliteControlStore) -> None:
    await store.change(Wish("a", 1))
    with held(path, "writes"):
        assert await fault_of(store) is StoreFault.LOCKED
        assert [c.value for c in await store.desired()] == [1]
    assert await store.change(Wish("a", 2)) == 2


async def test_full(path: Path) -> None:
    store = SqliteControlStore(path, is_new=True)

    def keep_small(db: sqlite3.Connection) -> None:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")

    await store._writer.run(keep_small)
    with pytest.raises(StoreError) as refusal:
        await store.change(Wish("a", "x" * 100_000))
    assert refusal.value.fault is StoreFault.FULL
    assert await store.desired() == []
    await store.close()


async def test_no_database(path: Path) -> None:
    put(path, b"not a database at all" * 500)
    store = SqliteControlStore(path, is_new=True)
    assert await fault_of(store) is StoreFault.GARBAGE
    await store.close()


async def test_the_database_of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    store = SqliteControlStore(path, is_new=True)
    with pytest.raises(StoreError, match="not a control store"):
        await store.desired()
    await store.close()


async def test_a_row_that_cannot_be_read(path: Path, store: SqliteControlStore) -> None:
    await store.change(Wish("a", 1))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE changes SET value = 'garbage'")
    db.close()
    with pytest.raises(StoreError, match="revision 1 cannot be read"):
        await store.desired()


async def test_a_file_that_is_not_there_is_not_made_by_a_follower(path: Path) -> None:
    store = SqliteControlStore(path)
    with pytest.raises(StoreError):
        await store.desired()
    assert not is_there(path)
    await store.close()


async def test_a_removed_file_is_refused_until_it_is_back(
    path: Path, store: SqliteControlStore
) -> None:
    await store.change(Wish("a", 1))
    aside = path.with_name("aside")
    move(path, aside)
    for asked in (store.change(Wish("a", 2)), store.desired(), store.version()):
        with pytest.raises(StoreError, match="removed or replaced"):
            await asked
    put(path, b"")
    with pytest.raises(StoreError, match="removed or replaced"):
        await store.desired()
    move(aside, path)
    assert await store.change(Wish("a", 2)) == 2


async def test_what_a_process_began_and_did_not_end(
    store: SqliteControlStore, other: SqliteControlStore
) -> None:
    await store.report(ME)
    for subject, revision in (("a", 3), ("b", 4), ("a", 5)):
        await store.attempt(ME.id, subject, revision)
    assert await other.abandoned(ME.id) == [("b", 4), ("a", 5)]
    await store.report(ME, [Outcome("a", 4), Outcome("b", 4)])
    assert await other.abandoned(ME.id) == [("a", 5)]
    assert await other.abandoned(OTHER.id) == []
    await store.leave(ME.id)
    assert await other.abandoned(ME.id) == []
