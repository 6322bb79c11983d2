"""What a load adds to the process, and what is made of that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.app.memory_book import MemoryBook, MemoryUse
from penstock.app.memory_meter import MemoryMeter, give_back_free_memory, resident_bytes
from penstock.core.ids import ServableId
from penstock.core.resources import ResourceEstimate
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances, Manifest


class Scale:
    """A process whose size the test sets."""

    def __init__(self) -> None:
        self.num_bytes = 1000
        self.num_settled = 0
        self.meter = MemoryMeter(lambda: self.num_bytes, self.settle)

    def settle(self) -> None:
        self.num_settled += 1


def artifact(
    name: str, revision: str = "a", *, runtime: str = "onnx", count: int = 1
) -> ArtifactRef:
    root = Path("/models") / name / "1"
    manifest = Manifest(instances=Instances(count=count))
    return ArtifactRef(
        ServableId(name, 1), root / "model", root, runtime, None, manifest, 100, revision
    )


def test_a_load_that_runs_alone_is_measured() -> None:
    scale = Scale()
    with scale.meter.measuring() as measurement:
        scale.num_bytes += 70
    assert (measurement.grown_bytes, scale.num_settled) == (70, 1)


def test_a_load_that_another_one_overlaps_is_not() -> None:
    scale = Scale()
    with scale.meter.measuring() as first:
        scale.num_bytes += 70
        with scale.meter.measuring() as second:
            scale.num_bytes += 30
        scale.num_bytes += 5
    assert (first.grown_bytes, second.grown_bytes) == (None, None)
    with scale.meter.measuring() as third:
        scale.num_bytes += 1
    assert third.grown_bytes == 1


def test_a_load_that_an_unload_overlaps_is_not() -> None:
    scale = Scale()
    with scale.meter.changing(), scale.meter.measuring() as late:
        scale.num_bytes += 70
    with scale.meter.measuring() as early:
        scale.num_bytes += 70
        with scale.meter.changing():
            pass
    assert (late.grown_bytes, early.grown_bytes) == (None, None)


def test_a_load_that_seems_to_take_nothing_tells_nothing() -> None:
    scale = Scale()
    with scale.meter.measuring() as measurement:
        scale.num_bytes -= 1
    assert measurement.grown_bytes is None


def test_a_load_that_fails_does_not_stand_in_the_way_of_the_next() -> None:
    scale = Scale()
    with pytest.raises(LookupError), scale.meter.measuring():
        raise LookupError
    with scale.meter.measuring() as measurement:
        scale.num_bytes += 2
    assert measurement.grown_bytes == 2


def test_the_process_itself_is_read() -> None:
    give_back_free_memory()
    before = resident_bytes()
    block = b"x" * (32 * 2**20)
    assert len(block) * 0.9 < resident_bytes() - before < len(block) * 1.5


def test_files_are_the_first_guess() -> None:
    book = MemoryBook()
    assert book.use_of(artifact("m", count=3)) == MemoryUse(300, "estimated")


def test_the_first_measurement_of_a_runtime_is_its_own_and_no_models() -> None:
    book = MemoryBook()
    book.learn(artifact("first"), MemoryUse(9000, "measured"))
    assert book.use_of(artifact("first")) == MemoryUse(100, "estimated")
    book.learn(artifact("second"), MemoryUse(150, "measured"))
    assert book.use_of(artifact("second")) == MemoryUse(150, "measured")


def test_the_first_measurement_of_a_runtime_is_the_most_its_version_can_need() -> None:
    book = MemoryBook()
    book.learn(artifact("first"), MemoryUse(130, "measured"))
    book.learn(artifact("outlier"), MemoryUse(9000, "measured"))
    assert book.use_of(artifact("first")) == MemoryUse(130, "estimated")
    assert book.use_of(artifact("first", "b")).num_bytes == 9000


def test_what_others_suggest_is_told_apart_from_what_is_known_of_a_version() -> None:
    book = MemoryBook()
    book.learn(artifact("first"), None)
    assert book.estimate(artifact("m", count=3)) == ResourceEstimate(300)
    book.learn(artifact("outlier"), MemoryUse(9000, "measured"))
    assert book.estimate(artifact("outlier")) == ResourceEstimate(9000)
    assert book.estimate(artifact("m")) == ResourceEstimate(9000, guessed_bytes=8900)
    book.learn(artifact("m"), MemoryUse(50, "declared"))
    assert book.estimate(artifact("m")) == ResourceEstimate(50)


def test_others_of_a_runtime_are_judged_by_those_that_were_measured() -> None:
    book = MemoryBook()
    book.learn(artifact("first"), None)
    book.learn(artifact("m1"), MemoryUse(150, "measured"))
    book.learn(artifact("m2"), MemoryUse(170, "measured"))
    assert book.use_of(artifact("m3")) == MemoryUse(160, "estimated")
    assert book.use_of(artifact("m4", runtime="python")) == MemoryUse(100, "estimated")


def test_the_largest_measurement_of_a_revision_stands_and_what_is_declared_wins() -> None:
    book = MemoryBook()
    book.learn(artifact("first"), None)
    for num_bytes, known in ((300, 300), (200, 300), (400, 400)):
        book.learn(artifact("m"), MemoryUse(num_bytes, "measured"))
        assert book.use_of(artifact("m")).num_bytes == known
    assert book.use_of(artifact("m", "b")).source == "estimated"
    book.learn(artifact("m", "b"), MemoryUse(10, "measured"))
    assert book.use_of(artifact("m", "b")).num_bytes == 10
    book.learn(artifact("m", "b"), MemoryUse(7, "declared"))
    assert book.use_of(artifact("m", "b")) == MemoryUse(7, "declared")


async def test_loads_of_a_runtime_take_turns_until_one_was_measured() -> None:
    book, running, most = MemoryBook(learns_early=True), 0, []

    async def load(name: str, use: MemoryUse | None) -> None:
        nonlocal running
        async with book.turn("onnx"):
            running += 1
            most.append(running)
            await asyncio.sleep(0)
            running -= 1
            book.learn(artifact(name), use)

    uses = [None, None, MemoryUse(150, "measured"), None, None, None]
    await asyncio.gather(*(load(f"m{number}", use) for number, use in enumerate(uses)))
    assert most[:3] == [1, 1, 1]
    await asyncio.gather(*(load("m", None) for _ in range(3)))
    assert max(most) > 1


async def test_without_on_demand_loading_nobody_waits_for_a_turn() -> None:
    book = MemoryBook()
    async with asyncio.timeout(1), book.turn("onnx"), book.turn("onnx"):
        pass
