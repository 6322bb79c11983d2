"""Real SQLite files that are locked, full, corrupt, shared or left behind by a killed process."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.backend import Increment, Item
from penstock.stores.open_backend import open_backend
from penstock.stores.sqlite_backend import SqliteBackend
from penstock.stores.sqlite_statements import after
from penstock.testing.fake_clock import FakeClock
from tests.stores.test_redis_faults import Live, live

pytestmark = pytest.mark.fault

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[2] == "everything":
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
db.execute("BEGIN EXCLUSIVE")
db.execute("CREATE TABLE IF NOT EXISTS other (x)")
print("held", flush=True)
sys.stdin.read()
"""

WRITE_AND_DIE = """
import asyncio, os, signal, sys
from penstock.stores.backend import Increment, Item
from penstock.stores.open_backend import open_backend
async def main():
    store = open_backend(sys.argv[1])
    for n in range(50):
        await store.set_many([Item(f"k{n}", b"v", (Increment("c", "n"),))])
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Another process holds the file."""
    command = [sys.executable, "-c", HOLD, str(path), what]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(10)


async def test_locked_against_writes(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with live(f"sqlite:///{path}") as it:
        it.store.put([Item("early", b"early")])
        assert await it.store.drain(10) == 0
        with held(path, "writes"):
            assert await it.predict("early")
            assert not await it.predict("late")
            with pytest.raises(StoreError) as refusal:
                await it.store.backend.set_many([Item("x", b"")])
            assert refusal.value.fault is StoreFault.LOCKED
        assert await it.store.drain(10) == 0
        assert await it.store.backend.get_many(["late"]) == [b"late"]


@pytest.mark.timed
async def test_locked_against_everything(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with live(f"sqlite:///{path}") as it:
        with held(path, "everything"):
            for n in range(10):
                assert not await it.predict(f"k{n}")
            assert it.slowest_s < 2
            assert it.store.stats.is_open["read"]
        assert await it.store.drain(10) == 0
        it.clock.advance(60)
        assert await it.predict("k9")


async def test_full(tmp_path: Path) -> None:
    async with live(f"sqlite:///{tmp_path}/s.db?max_bytes=200k") as it:
        it.store.put([Item("early", b"early")])
        assert await it.store.drain(10) == 0
        fill = [Item(f"fill{n}", b"x" * 10_000) for n in range(12)]
        await it.store.backend.set_many(fill)
        with pytest.raises(StoreError) as refusal:
            await it.store.backend.set_many([Item("more", b"x" * 100_000)])
        assert refusal.value.fault is StoreFault.FULL
        it.store.put([Item("k", b"x" * 50_000, (Increment("c", "all"),))])
        assert await it.store.drain(30) == 0
        assert it.store.stats.dropped == {"full": 1}
        assert await it.predict("early")
        assert await it.store.backend.counters(["c"]) == [{}]
        assert (tmp_path / "s.db").stat().st_size <= 200_000
        await it.store.backend.clear("fill")
        await it.store.backend.set_many([Item("k", b"x" * 50_000)])


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database at all" * 500)
    it = Live(f"sqlite:///{path}")
    for n in range(10):
        assert not await it.predict(f"k{n}")
    assert it.store.stats.errors["read", "garbage"] == 3
    await it.store.drain(0.1)
    await it.store.close()
    assert path.read_bytes().startswith(b"not a database")  # nothing of anybody's is overwritten


async def test_a_file_that_goes_bad(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    first = open_backend(f"sqlite:///{path}")
    await first.set_many([Item(f"k{n}", b"x" * 500) for n in range(500)])
    await first.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    it = Live(f"sqlite:///{path}")
    for n in range(10):
        assert not await it.predict(f"k{n}")
    await it.store.drain(0.1)
    await it.store.close()


async def test_writes_pending_at_close_are_there_next_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    async with live(url) as it:
        it.store.put([Item(f"k{n}", b"v", (Increment("c", "all"),)) for n in range(5000)])
    backend = open_backend(url)
    assert await backend.counters(["c"]) == [{"all": 5000}]
    assert await backend.clear("k") == 5000
    await backend.close()


def test_what_was_written_survives_a_killed_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    run = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, url], timeout=50, check=False)
    assert run.returncode == -signal.SIGKILL

    async def check() -> None:
        backend = open_backend(url)
        assert await backend.counters(["c"]) == [{"n": 50}]
        assert await backend.get_many(["k0", "k49"]) == [b"v", b"v"]
        await backend.close()

    asyncio.run(check())


async def test_two_share_a_file(tmp_path: Path) -> None:
    both = [open_backend(f"sqlite:///{tmp_path}/s.db") for _ in range(2)]
    item = Item("k", b"v", (Increment("c", "items"),))
    for _ in range(20):
        await asyncio.gather(
            *(b.increment([Increment("c", "n")]) for b in both),
            *(b.set_many([item], only_new=True) for b in both),
        )
    assert await both[0].counters(["c"]) == [{"n": 40, "items": 1}]
    for backend in both:
        await backend.close()


async def test_many_open_a_new_file_at_once(tmp_path: Path) -> None:
    for number in range(30):
        some = [open_backend(f"sqlite:///{tmp_path}/{number}.db") for _ in range(3)]
        await asyncio.gather(
            *(b.increment([Increment("c", "n")]) for b in some),
            *(b.get_many(["k"]) for b in some),
        )
        assert await some[0].counters(["c"]) == [{"n": 3}]
        for backend in some:
            await backend.close()


async def test_too_much_at_once_is_refused(tmp_path: Path) -> None:
    backend = open_backend(f"sqlite:///{tmp_path}/s.db")
    calls = [backend.increment([Increment("c", "n")]) for _ in range(200)]
    got = await asyncio.gather(*calls, return_exceptions=True)
    refused = [error for error in got if isinstance(error, StoreError)]
    assert {error.fault for error in refused} == {StoreFault.BUSY}
    assert await backend.counters(["c"]) == [{"n": 200 - len(refused)}]
    await backend.close()


async def test_what_expired_leaves_the_file_with_later_writes(tmp_path: Path) -> None:
    clock = FakeClock()
    backend = SqliteBackend(str(tmp_path / "s.db"), clock=clock)
    await backend.set_many([Item(f"k{n}", b"v") for n in range(1200)], ttl_s=10)
    clock.advance(11)
    left = []
    for n in range(3):
        await backend.set_many([Item(f"new{n}", b"v")], ttl_s=1000)
        with sqlite3.connect(tmp_path / "s.db") as db:
            left.append(db.execute("SELECT count(*) FROM items").fetchone()[0])
        db.close()
    assert left == [701, 202, 3]
    await backend.close()


def test_the_end_of_a_prefix() -> None:
    assert after("p:") == "p;"
    assert after("a\ud7ff") == "a\ue000"
    assert after("a\U0010ffff") == "b"
    assert after("\U0010ffff") > "\U0010ffff" * 2
