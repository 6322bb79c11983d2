"""The control store in a real file: older formats, clocks that jump, and files that break."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.control_store import Wish
from penstock.stores.sqlite_control_store import SqliteControlStore
from penstock.testing.fake_clock import FakeClock
from tests.stores.test_sqlite_faults import held


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


async def test_revisions_go_on_after_a_restart(path: Path, store: SqliteControlStore) -> None:
    await store.change(Wish("a", 1))
    await store.close()
    again = SqliteControlStore(path, is_new=True)
    assert [c.value for c in await again.desired()] == [1]
    assert await again.change(Wish("a", 2)) == 2
    await again.close()


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


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_the_database_of_another_program(path: Path, number: int) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
        db.execute(f"PRAGMA user_version = {number}")
    db.close()
    store = SqliteControlStore(path, is_new=True)
    with pytest.raises(StoreError, match="not a control store"):
        await store.desired()
    await store.close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    db.close()


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


FORMAT_1 = """
CREATE TABLE changes (
  revision INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, value TEXT NOT NULL,
  who TEXT NOT NULL, why TEXT NOT NULL, at_ms INTEGER NOT NULL, undoes INTEGER NOT NULL
);
CREATE INDEX changes_by_subject ON changes (subject, revision);
CREATE TABLE processes (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL, pid INTEGER NOT NULL, seen_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE outcomes (
  process TEXT, subject TEXT, revision INTEGER NOT NULL, error TEXT NOT NULL,
  message TEXT NOT NULL, PRIMARY KEY (process, subject)
) WITHOUT ROWID;
CREATE TABLE attempts (
  process TEXT, subject TEXT, revision INTEGER NOT NULL, PRIMARY KEY (process, subject)
) WITHOUT ROWID;
INSERT INTO changes VALUES (7, 'model/m', '{"loaded":true}', 'REST', 'load', 1700000000000, 0);
INSERT INTO attempts VALUES ('dead', 'model/m', 7);
PRAGMA user_version = 1;
"""


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_file_of_the_first_format_goes_on(path: Path, is_new: bool) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(FORMAT_1)
    db.close()
    stores = [SqliteControlStore(path, is_new=is_new) for _ in range(4)]  # all at once
    desired = await asyncio.gather(*(store.desired() for store in stores))
    assert [[(c.revision, c.value) for c in one] for one in desired] == [
        [(7, {"loaded": True})]
    ] * 4
    store = stores[0]
    assert await store.abandoned("dead") == [("model/m", 7)]
    assert await store.change(Wish("model/m", None), expected=7) == 8
    await store.publish("one", "counts/m", b"x")
    assert await stores[1].published("counts/m") == {"one": b"x"}
    assert await store.acquire("l", "one", 60)
    for one in stores:
        await one.close()


async def test_a_file_that_another_process_makes_in_the_middle_of_opening_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
    db.close()
    makers = [SqliteControlStore(path, is_new=True)._connect]

    class Late(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if "sqlite_schema" in sql and makers:
                makers.pop()().close()
            return super().execute(sql, *parameters)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, factory=Late, **k))
    store = SqliteControlStore(path, is_new=True)
    assert await store.desired() == []
    assert makers == []
    assert await store.change(Wish("a", 1)) == 1
    await store.close()


async def test_a_file_of_a_later_format_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.executescript(FORMAT_1)
        db.execute("PRAGMA user_version = 99")
    db.close()
    store = SqliteControlStore(path, is_new=True)
    with pytest.raises(StoreError, match="not a control store of this version"):
        await store.desired()
    await store.close()


@pytest.mark.parametrize("jump_s", [-1e6, -100, -61, 61, 1e6])
async def test_a_clock_that_jumps_gives_a_lease_to_whoever_asks(path: Path, jump_s: float) -> None:
    """That is too early for its holder; changes of an expected revision are what keeps order."""
    clock = FakeClock()
    store = SqliteControlStore(path, is_new=True, clock=clock)
    assert await store.acquire("l", "dead", 60)
    clock.advance(jump_s)
    assert await store.acquire("l", "two", 60)
    assert not await store.acquire("l", "three", 60)
    await store.close()


@pytest.mark.parametrize("jump_s", [-59, -30, 0, 30])
async def test_no_jump_holds_a_lease_for_longer_than_twice_its_length(
    path: Path, jump_s: float
) -> None:
    clock = FakeClock()
    store = SqliteControlStore(path, is_new=True, clock=clock)
    assert await store.acquire("l", "dead", 60)
    clock.advance(jump_s)
    assert not await store.acquire("l", "two", 60)
    clock.advance(121)
    assert await store.acquire("l", "two", 60)
    await store.close()


async def test_what_was_told_by_a_clock_far_ahead_does_not_stay_for_ever(path: Path) -> None:
    clock = FakeClock()
    store = SqliteControlStore(path, is_new=True, clock=clock)
    clock.advance(1e8)
    await store.publish("ahead", "counts/m", b"x")
    clock.advance(-1e8)
    assert await store.published("counts/m") == {}
    await store.publish("now", "counts/m", b"y")
    (row,) = await store._reader.run(lambda db: db.execute("SELECT count(*) FROM published"))
    assert row == (1,)
    await store.close()
