"""What every ControlStore keeps to; a test class derives from this and makes the stores."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from penstock.core.errors import StoreError
from penstock.stores.control_store import ControlStore, Outcome, ServingProcess, Standing, Wish

DAY_S = 24 * 3600
ME, OTHER = ServingProcess("one", 1, 11), ServingProcess("two", 2, 22)
VALUES: Sequence[Any] = (
    1, 2.5, True, "", "text \0 \n 'é' \N{GRINNING FACE}", [], {}, [1, [None]],
    {"b": 1, "a": {"x": None}}, 2**53, -1, None,
)  # fmt: skip


class ControlStoreContract:
    """Derive, and give the fixtures ``store`` and ``other``: the same, as two processes have it
    open.
    """

    async def test_the_last_change_of_each_subject_is_desired(
        self, store: ControlStore, other: ControlStore
    ) -> None:
        for subject, value in (("a", 1), ("b", {"x": [1, None]}), ("a", "later")):
            await store.change(Wish(subject, value, "REST", "load"))
        assert [(c.revision, c.subject, c.value) for c in await other.desired()] == [
            (2, "b", {"x": [1, None]}),
            (3, "a", "later"),
        ]
        assert [c.revision for c in await other.desired(after=2)] == [3]
        assert await other.desired(after=3) == []

    async def test_a_value_comes_back_as_it_was(
        self, store: ControlStore, other: ControlStore
    ) -> None:
        for number, value in enumerate(VALUES):
            await store.change(Wish(f"s{number}", value))
        assert [change.value for change in await other.desired()] == list(VALUES)

    async def test_every_change_is_kept_with_who_and_why(self, store: ControlStore) -> None:
        await store.change(Wish("a", 1, "REST", "load \N{SNOWMAN}"))
        await store.change(Wish("b", 1))
        await store.change(Wish("a", None, "REST", "change 1 failed", undoes=1))
        young, old = await store.history("a")
        assert (young.revision, young.value, young.undoes) == (3, None, 1)
        assert (young.who, young.why) == ("REST", "change 1 failed")
        assert (old.revision, old.who, old.why, old.undoes) == (1, "REST", "load \N{SNOWMAN}", 0)
        assert await store.history("nothing") == []
        assert [one.revision for one in await store.history(limit=2)] == [3, 2]

    async def test_subjects_that_begin_alike_are_not_the_same(self, store: ControlStore) -> None:
        for subject in ("route/m", "route/m2", "route/m/2", "route/m", "route/"):
            await store.change(Wish(subject, subject))
        assert [one.revision for one in await store.history("route/m")] == [4, 1]
        assert [one.value for one in await store.history("route/")] == ["route/"]

    async def test_a_change_that_expects_another_state_is_not_made(
        self, store: ControlStore
    ) -> None:
        first = await store.change(Wish("a", 1), expected=0)
        assert first == 1
        assert await store.change(Wish("a", 2), expected=0) is None
        assert await store.change(Wish("a", 2), expected=5) is None
        assert await store.change(Wish("b", 1), expected=first) is None
        assert await store.change(Wish("a", 2), expected=first) == 2
        assert await store.change(Wish("b", 1), expected=0) == 3
        assert [one.value for one in await store.history()] == [1, 2, 1]

    async def test_many_writers_get_one_order(
        self, store: ControlStore, other: ControlStore
    ) -> None:
        wishes = [one.change(Wish("a", n)) for n in range(20) for one in (store, other)]
        assert sorted(filter(None, await asyncio.gather(*wishes))) == list(range(1, 41))

    async def test_of_writers_that_expect_the_same_one_wins(
        self, store: ControlStore, other: ControlStore
    ) -> None:
        """Counting by two processes: no step is lost, and none is taken twice."""

        async def count(one: ControlStore, name: str) -> None:
            for _ in range(10):
                while True:
                    last = await one.desired()
                    value, revision = (last[0].value, last[0].revision) if last else (0, 0)
                    if await one.change(Wish("n", value + 1, name), expected=revision):
                        break

        await asyncio.gather(count(store, "one"), count(other, "two"))
        history = await store.history("n")
        assert [one.value for one in reversed(history)] == list(range(1, 21))
        assert [one.revision for one in reversed(history)] == list(range(1, 21))

    async def test_a_reader_never_skips_a_change(
        self, store: ControlStore, other: ControlStore
    ) -> None:
        """What has a lower number than something that was read is there already."""
        read: list[int] = []

        async def follow() -> None:
            while len(read) < 30:
                read.extend(
                    one.revision for one in await other.desired(after=read[-1] if read else 0)
                )

        following = asyncio.create_task(follow())
        await asyncio.gather(
            *(store.change(Wish(f"s{n}", n)) for n in range(15)),
            *(other.change(Wish(f"t{n}", n)) for n in range(15)),
        )
        await asyncio.wait_for(following, 20)
        assert read == list(range(1, 31))

    async def test_the_version_tells_of_what_others_write(
        self, store: ControlStore, other: ControlStore
    ) -> None:
        await other.desired()
        seen = [await store.version()]
        assert await store.version() == seen[0]
        for write in (
            lambda: other.change(Wish("a", 1)),
            lambda: other.report(ME),
            lambda: other.report(ME, [Outcome("a", 1)]),
            lambda: other.leave(ME.id),
        ):
            await write()
            seen.append(await store.version())
        assert all(before != after for before, after in itertools.pairwise(seen))

    async def test_what_a_process_began_and_did_not_end(
        self, store: ControlStore, other: ControlStore
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

    async def test_what_is_told_last_is_published(
        self, store: ControlStore, other: ControlStore
    ) -> None:
        every_byte = bytes(range(256))
        await store.publish("one", "counts/m", b"early")
        await store.publish("one", "counts/m", every_byte)
        await other.publish("two", "counts/m", b"")
        await other.publish("two", "counts/other", b"x")
        assert await other.published("counts/m") == {"one": every_byte, "two": b""}
        assert await store.published("counts/nobody") == {}

    async def test_a_lease_is_one_holders(self, store: ControlStore, other: ControlStore) -> None:
        assert await store.acquire("rollout/m", "one", 60)
        assert await store.acquire("rollout/m", "one", 60)
        assert not await other.acquire("rollout/m", "two", 60)
        assert await other.acquire("rollout/n", "two", 60)
        await other.release("rollout/m", "two")  # not its own
        assert not await other.acquire("rollout/m", "two", 60)
        await store.release("rollout/m", "one")
        assert await other.acquire("rollout/m", "two", 60)

    async def test_of_many_who_want_a_lease_one_gets_it(
        self, store: ControlStore, other: ControlStore
    ) -> None:
        tries = [one.acquire("l", str(n), 60) for n in range(10) for one in (store, other)]
        assert sum(await asyncio.gather(*tries)) == 2  # "n" of both stores is one holder


class ForgettingControlStoreContract(ControlStoreContract):
    """What those keep to besides that forget what was told."""

    async def pass_time(self, seconds: float) -> None:
        """Let the store's clock go on, or make older what it keeps."""
        raise NotImplementedError

    async def test_what_was_told_outlives_its_process_for_thirty_days(
        self, store: ControlStore
    ) -> None:
        await store.report(ME)
        await store.publish(ME.id, "counts/m", b"x")
        await store.leave(ME.id)
        await self.pass_time(29 * DAY_S)
        assert await store.published("counts/m") == {ME.id: b"x"}
        await store.publish(OTHER.id, "counts/m", b"y")
        assert await store.published("counts/m") == {ME.id: b"x", OTHER.id: b"y"}
        await self.pass_time(2 * DAY_S)
        assert await store.published("counts/m") == {OTHER.id: b"y"}


class TimedControlStoreContract(ForgettingControlStoreContract):
    """What those keep to besides that know the time."""

    statements: ModuleType
    """Where it says how many changes are kept."""

    async def test_old_history_goes_and_what_is_desired_stays(
        self, store: ControlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(self.statements, "KEPT_CHANGES", 5)
        await store.change(Wish("still", 1))
        for n in range(20):
            await store.change(Wish("busy", n))
        assert [(c.subject, c.value) for c in await store.desired()] == [("still", 1), ("busy", 19)]
        assert [c.revision for c in await store.history()] == [21, 20, 19, 18, 17, 1]
        assert [c.revision for c in await store.history("busy")] == [21, 20, 19, 18, 17]
        await store.change(Wish("still", 2))
        assert [c.revision for c in await store.history()] == [22, 21, 20, 19, 18]

    async def test_a_change_has_its_time(self, store: ControlStore) -> None:
        await store.change(Wish("a", 1))
        await store.change(Wish("a", 2))
        young, old = await store.history("a")
        assert 1_600_000_000_000 < old.at_ms <= young.at_ms

    async def test_standings_are_those_of_the_living(self, store: ControlStore) -> None:
        await store.report(OTHER)
        await store.report(ME, [Outcome("a", 3, "LoadFailed", "no"), Outcome("b", 2)])
        failed = Standing(ME, Outcome("a", 3, "LoadFailed", "no"))
        assert await store.standings("a", 60) == [failed, Standing(OTHER, Outcome("a", 0))]
        await self.pass_time(100)
        await store.report(OTHER, [Outcome("a", 4)])
        assert await store.standings("a", 60) == [Standing(OTHER, Outcome("a", 4))]
        assert len(await store.standings("a", 1e9)) == 2
        await store.leave(OTHER.id)
        await store.leave("nobody")
        assert await store.standings("a", 60) == []

    async def test_processes_that_are_long_gone_are_forgotten(self, store: ControlStore) -> None:
        await store.report(ME, [Outcome("a", 3)])
        await store.attempt(ME.id, "a", 4)
        await self.pass_time(25 * 3600)
        await store.report(OTHER)
        assert await store.standings("a", 1e9) == [Standing(OTHER, Outcome("a", 0))]
        assert await store.abandoned(ME.id) == []

    async def test_a_lease_is_taken_over_after_its_end(
        self, store: ControlStore, other: ControlStore
    ) -> None:
        assert await store.acquire("l", "one", 60)
        await self.pass_time(40)
        assert not await other.acquire("l", "two", 60)
        assert await store.acquire("l", "one", 60)  # kept: it runs from now on
        await self.pass_time(40)
        assert not await other.acquire("l", "two", 60)
        await self.pass_time(40)
        assert await other.acquire("l", "two", 60)
        assert not await store.acquire("l", "one", 60)
        await store.release("l", "one")  # it comes too late to take it from the other
        assert not await store.acquire("l", "three", 60)

    async def test_after_the_end_nothing_is_done(self, store: ControlStore) -> None:
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await store.desired()
