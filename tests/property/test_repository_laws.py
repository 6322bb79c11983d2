"""Laws of the repository: names, fingerprints, and that nothing half-copied is ever told of."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.core.byte_size import ByteSize
from penstock.core.errors import ConfigError
from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef
from penstock.repository.fingerprint import fingerprint
from penstock.repository.format import Artifact, choose_artifact
from penstock.repository.layout import (
    folder_kind,
    is_model_name,
    name_from_class,
    name_from_stem,
    version_folders,
    version_number,
)
from penstock.repository.listing import Entry
from penstock.repository.manifest import Manifest
from penstock.repository.manifest_file import parse_manifest
from penstock.repository.manifest_shape import check_shape
from penstock.repository.model_look import ModelLook, VersionLook
from penstock.repository.settle import Instant, Memory, settle

S = 1_000_000_000
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
FILES = st.lists(
    st.builds(
        Entry,
        path=NAMES,
        kind=st.just("file"),
        size_bytes=st.integers(0, 9),
        mtime_ns=st.integers(0, 9),
    ),
    max_size=5,
    unique_by=lambda entry: entry.path,
)
FILE_NAMES = st.sampled_from(
    ["model.onnx", "model.py", "a.onnx", "b.onnx", "c.py", "w.pt", "README.md", "d/e.onnx"]
)


@given(NAMES)
def test_every_stem_becomes_a_model_name_and_names_stay(stem: str) -> None:
    name = name_from_stem(stem)
    assert is_model_name(name)
    assert name_from_stem(name) == name


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True))
def test_every_class_becomes_a_lower_case_model_name(class_name: str) -> None:
    name = name_from_class(class_name)
    assert is_model_name(name)
    assert name == name.lower()


@given(st.integers(0, 10**18 - 1))
def test_every_number_is_its_own_version(number: int) -> None:
    assert version_number(str(number)) == number


@given(st.one_of(NAMES, st.from_regex(r"[-+]?[0-9 ._]{1,20}")))
def test_a_version_is_written_one_way_only(name: str) -> None:
    number = version_number(name)
    assert number is None or str(number) == name


@given(
    st.lists(
        st.builds(Entry, path=NAMES, kind=st.sampled_from(["file", "folder", "broken", "other"])),
        unique_by=lambda entry: entry.path,
    ),
    st.randoms(use_true_random=False),
)
def test_the_layout_does_not_depend_on_the_order_of_a_listing(entries: list[Entry], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = random.sample(entries, len(entries))

    def nothing_inside(name: str) -> Sequence[Entry]:
        return ()

    assert list(version_folders(entries)) == sorted(version_folders(shuffled))
    assert folder_kind(entries, nothing_inside) == folder_kind(shuffled, nothing_inside)


@given(
    st.sets(FILE_NAMES),
    st.one_of(st.none(), FILE_NAMES),
    st.sampled_from([None, "onnx", "python"]),
)
def test_a_chosen_artifact_is_there_and_fits(
    files: set[str], entry: str | None, runtime: str | None
) -> None:
    chosen = {
        choose_artifact(order, entry=entry, runtime=runtime)
        for order in itertools.islice(itertools.permutations(files), 6)
    }
    assert len(chosen) == 1
    (result,) = chosen
    if isinstance(result, Artifact):
        assert result.path in files
        assert entry in (None, result.path)
        assert runtime in (None, result.runtime)
    else:
        assert result


@given(FILES, st.binary(max_size=4), st.randoms(use_true_random=False))
def test_a_fingerprint_is_of_the_set_of_files(files: list[Entry], manifest: bytes, random) -> None:  # type: ignore[no-untyped-def]
    mark = fingerprint(files, manifest)
    assert re.fullmatch(r"[0-9a-f]{16}", mark)
    assert mark == fingerprint(random.sample(files, len(files)), manifest)
    assert mark == fingerprint([replace(f, ctime_ns=f.ctime_ns + 1) for f in files], manifest)


@given(FILES, st.binary(max_size=4), FILES, st.binary(max_size=4))
def test_a_fingerprint_changes_with_any_file_and_the_manifest(
    files: list[Entry], manifest: bytes, others: list[Entry], other_manifest: bytes
) -> None:
    is_same = (set(files), manifest) == (set(others), other_manifest)
    assert (fingerprint(files, manifest) == fingerprint(others, other_manifest)) == is_same


@given(st.integers(0, 2**53), st.sampled_from(["", "k", "Mi", "GB", "TiB", " mb"]))
def test_a_size_is_the_number_times_the_unit(number: int, unit: str) -> None:
    factor = {"": 1, "k": 10**3, "mi": 2**20, "gb": 10**9, "tib": 2**40, "mb": 10**6}
    expected = number * factor[unit.strip().lower()]
    if expected < 2**63:
        assert ByteSize.parse(f"{number}{unit}") == expected


FIELD_NAMES = [
    *("batching", "pad", "axis", "queue", "max_bytes", "labels", "warmup", "file"),
    *("instances", "count", "version_policy", "latest", "signature", "inputs"),
]
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.text(max_size=5),
                st.sampled_from(
                    [
                        "batching",
                        "pad",
                        "axis",
                        "queue",
                        "max_bytes",
                        "labels",
                        "warmup",
                        "file",
                        "instances",
                        "count",
                        "version_policy",
                        "latest",
                        "signature",
                        "inputs",
                    ]
                ),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def refusal(attempt: Callable[[], object]) -> str:
    """The text of the refusal; "": it was none."""
    try:
        attempt()
    except ConfigError as err:
        return err.message
    return ""


@given(JSON)
def test_any_values_are_a_manifest_or_a_refusal(data: object) -> None:
    text = refusal(lambda: check_shape(data, "x"))
    assert not text or text.startswith("x: $")


@given(st.one_of(st.binary(max_size=60), st.text("abc:-[]{}*&!\n \t'\"#|>?,1", max_size=60)))
def test_any_bytes_are_a_manifest_or_a_refusal(content: bytes | str) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    text = refusal(lambda: parse_manifest(raw, "x"))
    assert not text or text.startswith("x:")


@dataclass(frozen=True)
class Write:
    """Something that happens to a version at a time, in tenths of a second."""

    at: int
    version: int
    revision: str


WRITES = st.lists(
    st.builds(
        Write,
        at=st.integers(1, 60),
        version=st.integers(1, 2),
        revision=st.sampled_from(["a", "b", "c", ""]),
    ),
    max_size=12,
)


def _listing(writes: Sequence[Write], now: int) -> dict[int, Write]:
    """What is on disk at a time: version to the write that made it so; "" removes it."""
    there = {w.version: w for w in sorted(writes, key=lambda w: w.at) if w.at <= now}
    return {number: write for number, write in there.items() if write.revision}


def _look(there: dict[int, Write], *, lies: bool) -> ModelLook:
    """One look; with ``lies`` files keep old times, as ``cp -p`` on some file systems leaves."""
    versions = []
    for number, write in there.items():
        path = Path("/m") / str(number)
        id_ = ServableId("m", number)
        ref = ArtifactRef(id_, path, path, "onnx", None, Manifest(), 1, write.revision)
        versions.append(VersionLook(ref, 0 if lies else write.at * S // 10))
    return ModelLook("m", "m", "", 0, Manifest(), tuple(versions), frozenset(there))


@given(WRITES, st.sets(st.integers(1, 60), max_size=40), st.booleans())
def test_nothing_is_told_of_that_was_not_quiet_for_a_second(
    writes: list[Write], look_times: set[int], lies: bool
) -> None:
    memory = Memory()
    looked = {0: _listing(writes, 0)}
    for now in sorted({0, *look_times}):
        looked[now] = _listing(writes, now)
        before = memory.told
        instant = Instant(now * S // 10, now * S // 10)
        memory = settle([_look(looked[now], lies=lies)], memory, instant, settle_s=1.0).memory
        told = {v.id.version: v.revision for v in memory.told["m"].versions} if memory.told else {}
        was = {v.id.version: v.revision for v in before["m"].versions} if before else {}
        for number in told.keys() | was.keys():
            if told.get(number) == was.get(number):
                continue
            seen = [looked[t] for t in looked if now - 10 < t <= now]
            now_there = looked[now].get(number)
            assert (now_there.revision if now_there else None) == told.get(number)
            for there in seen:
                revision = there[number].revision if number in there else None
                assert revision == told.get(number)
            if not lies and now_there is not None:
                assert now_there.at <= now - 10


@given(WRITES, st.sets(st.integers(1, 60), max_size=40))
def test_when_all_is_quiet_all_is_told_of_as_soon_as_it_was_announced(
    writes: list[Write], look_times: set[int]
) -> None:
    memory = Memory()
    for now in sorted({0, *look_times, 60}):
        instant = Instant(now * S // 10, now * S // 10)
        look = _look(_listing(writes, now), lies=False)
        verdict = settle([look], memory, instant, settle_s=1.0)
        memory = verdict.memory
    at_ns = 6 * S
    for _ in range(3):
        if verdict.wait_s is None:
            break
        assert 0 < verdict.wait_s <= 1.0
        at_ns += round(verdict.wait_s * S)
        verdict = settle([look], verdict.memory, Instant(at_ns, at_ns), settle_s=1.0)
    assert verdict.wait_s is None
    assert at_ns <= 7 * S
    there = {number: write.revision for number, write in _listing(writes, 60).items()}
    told = verdict.memory.told
    assert {v.id.version: v.revision for v in told["m"].versions} == there
