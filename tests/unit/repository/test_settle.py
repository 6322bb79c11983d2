"""What is complete and what is held back, as values and moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.core.errors import ConfigError
from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef, StoredModel
from penstock.repository.manifest import Manifest
from penstock.repository.model_look import ModelLook, VersionLook
from penstock.repository.settle import Instant, Memory, Sighting, settle, wait_s

S = 1_000_000_000
START = 1_000 * S


def ref(number: int, revision: str = "a") -> ArtifactRef:
    path = Path("/m") / str(number)
    id_ = ServableId("m", number)
    return ArtifactRef(id_, path / "model.onnx", path, "onnx", None, Manifest(), 1, revision)


def version(number: int, revision: str = "a", newest_s: float = 0) -> VersionLook:
    return VersionLook(ref(number, revision), int(newest_s * S))


def model(
    *versions: VersionLook, mark: str = "", newest_s: float = 0, batch: int | None = None
) -> ModelLook:
    present = frozenset(v.found.id.version for v in versions)
    manifest = Manifest(max_batch_size=batch)
    return ModelLook("m", "models/m", mark, int(newest_s * S), manifest, versions, present)


class Story:
    """A series of looks, one second of quiet."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.wait_s: float | None = None

    def look(
        self, at_s: float, *looks: ModelLook, kept: frozenset[str] = frozenset()
    ) -> list[tuple[int, str]] | None:
        """The versions told of after a look at a time; None: no model is told of."""
        now = Instant(wall_ns=int(at_s * S), monotonic_ns=int((at_s + 77) * S))
        verdict = settle(looks, self.memory, now, settle_s=1.0, kept=kept)
        self.memory, self.wait_s = verdict.memory, verdict.wait_s
        told = self.told
        return None if told is None else [(v.id.version, v.revision) for v in told.versions]

    @property
    def told(self) -> StoredModel | None:
        return self.memory.told.get("m")


def test_at_the_first_look_old_files_count_at_once() -> None:
    story = Story()
    assert story.look(1000, model(version(1, newest_s=999))) == [(1, "a")]
    assert story.wait_s is None


def test_at_the_first_look_young_files_wait_until_they_are_old() -> None:
    story = Story()
    assert story.look(1000, model(version(1, newest_s=999.75))) is None
    assert story.wait_s == pytest.approx(0.75)
    assert story.look(1000.75, model(version(1, newest_s=999.75))) == [(1, "a")]


def test_a_new_version_waits_until_it_was_seen_quiet() -> None:
    story = Story()
    story.look(1000, model(version(1)))
    assert story.look(1010, model(version(1), version(2, newest_s=3))) == [(1, "a")]
    assert story.wait_s == 1.0
    assert story.look(1010.5, model(version(1), version(2, newest_s=3))) == [(1, "a")]
    assert story.look(1011, model(version(1), version(2))) == [(1, "a"), (2, "a")]
    assert story.wait_s is None


def test_each_change_starts_the_wait_anew() -> None:
    story = Story()
    story.look(1000, model())
    for tenth in range(30):
        at_s = 1000 + tenth / 10
        assert story.look(at_s, model(version(1, f"r{tenth}", at_s))) == []
    assert story.look(1003.9, model(version(1, "r29", 1002.9))) == [(1, "r29")]


def test_a_version_that_changes_keeps_what_was_told() -> None:
    story = Story()
    story.look(1000, model(version(1, "old")))
    assert story.look(1001, model(version(1, "new", 1001))) == [(1, "old")]
    assert story.look(1002, model(version(1, "new", 1001))) == [(1, "new")]


def test_a_change_of_status_alone_is_waited_for_and_changes_nothing() -> None:
    story = Story()
    story.look(1000, model(version(1, "a", 5)))
    before = story.told
    assert story.look(1001, model(version(1, "a", 1001))) == [(1, "a")]
    assert story.wait_s == 1.0
    story.look(1002, model(version(1, "a", 1001)))
    assert story.told == before


def test_files_dated_in_the_future_count_once_they_were_quiet() -> None:
    story = Story()
    future = version(1, newest_s=9999)
    assert story.look(1000, model(future)) is None
    assert story.wait_s == 1.0
    assert story.look(1001, model(future)) == [(1, "a")]


def test_a_vanished_version_is_gone_once_it_was_missed_for_long_enough() -> None:
    story = Story()
    story.look(1000, model(version(1), version(2)))
    assert story.look(1001, model(version(2))) == [(1, "a"), (2, "a")]
    assert story.wait_s == 1.0
    assert story.look(1002, model(version(2))) == [(2, "a")]
    assert ("m", 1) not in story.memory.seen


def test_a_version_swapped_by_two_renames_is_never_gone() -> None:
    story = Story()
    story.look(1000, model(version(1, "old")))
    assert story.look(1001, model()) == [(1, "old")]
    assert story.look(1001.1, model(version(1, "new"))) == [(1, "old")]
    assert story.look(1002.1, model(version(1, "new"))) == [(1, "new")]


def test_a_vanished_model_is_gone_once_it_was_missed_for_long_enough() -> None:
    story = Story()
    story.look(1000, model(version(1)))
    assert story.look(1001) == [(1, "a")]
    assert story.look(1002) is None
    assert (story.memory.told, story.memory.seen) == ({}, {})


def test_a_model_whose_root_is_away_stays_as_it_was_for_ever() -> None:
    story = Story()
    story.look(1000, model(version(1)))
    assert story.look(2000, kept=frozenset({"m"})) == [(1, "a")]
    assert story.wait_s is None
    assert story.look(3000, model(version(1))) == [(1, "a")]
    assert story.wait_s is None


def test_a_manifest_that_changes_holds_the_whole_model() -> None:
    story = Story()
    story.look(1000, model(version(1, "a"), batch=1))
    changed = model(version(1, "b"), mark="new", newest_s=1001, batch=2)
    assert story.look(1001, changed) == [(1, "a")]
    assert story.told is not None
    assert story.told.manifest.max_batch_size == 1
    assert story.look(1002, changed) == [(1, "b")]
    assert story.told.manifest.max_batch_size == 2


def test_a_broken_manifest_is_told_with_the_last_good_state() -> None:
    story = Story()
    story.look(1000, model(version(1), version(2), batch=1))

    def broken() -> ModelLook:
        error = ConfigError("bad")
        return ModelLook.failed("m", "models/m", error, present=frozenset({2, 3}))

    story.look(1001, broken())
    assert story.told is not None
    assert story.told.error is None
    assert story.look(1002, broken()) == [(2, "a")]
    assert str(story.told.error) == "bad"
    assert story.told.manifest.max_batch_size == 1
    told = story.told
    story.look(1003, broken())
    assert story.told == told
    story.look(1004, model(version(2)))
    assert story.look(1005, model(version(2))) == [(2, "a")]
    assert story.told.error is None


def test_an_unreadable_model_keeps_all_versions() -> None:
    story = Story()
    story.look(1000, model(version(1)))
    unreadable = ModelLook.failed("m", "models/m", ConfigError("cannot be read"))
    story.look(1001, unreadable)
    assert story.look(1002, unreadable) == [(1, "a")]
    assert story.told is not None
    assert story.told.error is not None


def test_a_model_that_is_just_being_copied_is_not_told_of_at_all() -> None:
    story = Story()
    story.look(1000)
    assert story.look(1001, model(version(1, newest_s=1001))) is None
    assert story.look(1002, model(version(1, newest_s=1001))) == [(1, "a")]


def test_an_empty_model_is_told_of() -> None:
    assert Story().look(1000, model()) == []


def test_nothing_is_held_back_with_no_time_to_settle() -> None:
    now = Instant(START, 0)
    sighting = Sighting("a", 0, is_initial=False)
    assert wait_s(sighting, START, now, 0.0) == 0
    assert wait_s(sighting, START + S, now, 0.0) == 0
