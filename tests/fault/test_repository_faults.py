"""What goes wrong on a disk while models are served from it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

import penstock.repository.root as root_module
from penstock.repository.artifact import BadArtifact, StoredModel
from penstock.repository.manifest_cache import ManifestCache
from penstock.repository.root import Root, RootLook
from penstock.repository.settle import Instant
from penstock.repository.survey import Survey, take_survey
from tests.unit.repository.fake_disk import FakeClock, fill, numbers, write

pytestmark = pytest.mark.fault


class Observer:
    """Looks at real folders by a clock that is stepped; quiet is one second."""

    def __init__(self, *paths: Path) -> None:
        self._roots = [Root.parse(path) for path in paths]
        self._clock = FakeClock()
        self._cache = ManifestCache(self._clock.wall_ns)
        self._survey = Survey()

    def look(self, after_s: float = 0.0) -> dict[str, StoredModel]:
        """The truth after a look some time later."""
        self._clock.step(after_s)
        now = Instant(self._clock.wall_ns(), self._clock.monotonic_ns())
        self._survey = take_survey(self._roots, self._survey, self._cache, now, 1.0)
        return {model.name: model for model in self._survey.models}

    def settled(self) -> dict[str, StoredModel]:
        """The truth after everything was quiet."""
        self.look(10)
        return self.look(10)


def test_a_version_written_slowly_is_told_of_when_it_is_whole(tmp_path: Path) -> None:
    fill(tmp_path, "m/1/model.onnx")
    observer = Observer(tmp_path)
    assert numbers(observer.look()["m"]) == [1]
    target = tmp_path / "m" / "2" / "model.onnx"
    target.parent.mkdir()
    with target.open("wb", buffering=0) as file:
        for _ in range(20):
            file.write(b"x" * 100)
            assert numbers(observer.look(0.9)["m"]) == [1]
    observer.look(0.9)
    truth = observer.look(1.0)
    assert numbers(truth["m"]) == [1, 2]
    assert truth["m"].versions[1].num_bytes == 2000  # type: ignore[union-attr]


def test_a_version_rewritten_in_place_keeps_its_old_revision_until_it_is_whole(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "m/1/model.onnx")
    observer = Observer(tmp_path)
    before = observer.look()["m"]
    with (tmp_path / "m/1/model.onnx").open("wb", buffering=0) as file:
        for _ in range(10):
            file.write(b"y" * 10)
            assert observer.look(0.9)["m"] == before
    assert observer.settled()["m"].versions[0].revision != before.versions[0].revision


def test_a_weights_file_that_comes_after_the_model_is_waited_for(tmp_path: Path) -> None:
    observer = Observer(tmp_path)
    observer.look()
    fill(tmp_path, "m/1/model.onnx")
    assert observer.look() == {}
    for size in range(1, 5):
        fill(tmp_path, "m/1/model.onnx.data", content="x" * size)
        assert observer.look(0.9) == {}
    truth = observer.look(1.0)
    assert truth["m"].versions[0].num_bytes == 5  # type: ignore[union-attr]


def test_rsync_writes_under_a_hidden_name_and_renames(tmp_path: Path) -> None:
    observer = Observer(tmp_path)
    observer.look()
    hidden = tmp_path / "m" / "1" / ".model.onnx.aB3dEf"
    fill(tmp_path, "m/1/.model.onnx.aB3dEf")
    truth = observer.settled()
    assert [type(v) for v in truth["m"].versions] == [BadArtifact]
    hidden.rename(tmp_path / "m" / "1" / "model.onnx")
    assert numbers(observer.settled()["m"]) == [1]


@pytest.mark.parametrize("name", ["2.tmp", "2.partial", ".2.Qx1", "_2", "2~"])
def test_a_folder_copied_under_a_temporary_name_counts_after_the_rename(
    tmp_path: Path, name: str
) -> None:
    fill(tmp_path, "m/1/model.onnx")
    observer = Observer(tmp_path)
    observer.look()
    fill(tmp_path, f"m/{name}/model.onnx")
    assert numbers(observer.settled()["m"]) == [1]
    (tmp_path / "m" / name).rename(tmp_path / "m" / "2")
    assert numbers(observer.look(1)["m"]) == [1]
    assert numbers(observer.look(1)["m"]) == [1, 2]


def test_a_file_replaced_by_a_rename_changes_the_revision_once(tmp_path: Path) -> None:
    fill(tmp_path, "m/1/model.onnx")
    observer = Observer(tmp_path)
    revisions = [observer.look()["m"].versions[0].revision]
    fill(tmp_path, "m/1/model.onnx.tmp", content="new")
    (tmp_path / "m/1/model.onnx.tmp").replace(tmp_path / "m/1/model.onnx")
    revisions += [observer.look(0.5)["m"].versions[0].revision for _ in range(8)]
    assert len(set(revisions)) == 2
    assert revisions == sorted(revisions, key=lambda r: r != revisions[0])


def test_a_manifest_cut_short_never_becomes_true(tmp_path: Path) -> None:
    """``max_batch_size: 3`` is good YAML, and not what was meant."""
    fill(tmp_path, "m/1/model.onnx")
    text = "max_batch_size: 32\nqueue: {max_requests: 5}\n"
    write(tmp_path / "m/model.yaml", text)
    observer = Observer(tmp_path)
    before = observer.look()["m"]
    for end in range(len(text)):
        write(tmp_path / "m/model.yaml", text[:end].replace("32", "64"))
        assert observer.look(0.5)["m"] == before
    write(tmp_path / "m/model.yaml", text.replace("32", "64"))
    assert observer.settled()["m"].manifest.max_batch_size == 64


@pytest.mark.parametrize("content", [b"\x00\xff", b"a: [", b"&a [*a]", b"[" * 100_000, b"foo: 1"])
def test_a_corrupt_manifest_leaves_what_serves_and_its_neighbours(
    tmp_path: Path, content: bytes
) -> None:
    fill(tmp_path, "m/1/model.onnx", "n/1/model.onnx")
    write(tmp_path / "m/model.yaml", "version_policy: all")
    observer = Observer(tmp_path)
    good = observer.look()
    (tmp_path / "m/model.yaml").write_bytes(content)
    bad = observer.settled()
    assert str(bad["m"].error).startswith(f"{tmp_path / 'm' / 'model.yaml'}:")
    assert bad["m"].versions == good["m"].versions
    assert bad["m"].manifest == good["m"].manifest
    assert bad["n"] == good["n"]
    write(tmp_path / "m/model.yaml", "version_policy: all")
    assert observer.settled()["m"].error is None


def test_a_version_removed_file_by_file_is_never_an_error(tmp_path: Path) -> None:
    fill(tmp_path, "m/1/model.onnx", "m/1/vocab.txt", "m/2/model.onnx")
    observer = Observer(tmp_path)
    before = observer.look()["m"]
    for path in ("m/1/model.onnx", "m/1/vocab.txt"):
        (tmp_path / path).unlink()
        assert observer.look(0.9)["m"] == before
    (tmp_path / "m/1").rmdir()
    assert observer.look(0.9)["m"] == before
    assert numbers(observer.look(1)["m"]) == [2]


def test_a_folder_swapped_by_two_renames_is_never_away(tmp_path: Path) -> None:
    fill(tmp_path, "m/1/model.onnx", "new/model.onnx", content="n")
    observer = Observer(tmp_path / "m")
    before = observer.look()["m"]
    (tmp_path / "m/1").rename(tmp_path / "old")
    assert observer.look(0.5)["m"] == before
    (tmp_path / "new").rename(tmp_path / "m/1")
    assert numbers(observer.settled()["m"]) == [1]


def test_a_symlink_swapped_as_kubernetes_does_it_changes_the_revision(tmp_path: Path) -> None:
    fill(tmp_path, "..v1/model.onnx")
    fill(tmp_path, "..v2/model.onnx", content="two")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1").symlink_to(tmp_path / "..v1")
    observer = Observer(tmp_path / "m")
    before = observer.look()["m"].versions[0].revision
    (tmp_path / "m" / "next").symlink_to(tmp_path / "..v2")
    (tmp_path / "m" / "next").replace(tmp_path / "m" / "1")
    after = observer.settled()["m"]
    assert numbers(after) == [1]
    assert after.versions[0].revision != before


def test_circles_of_links_end(tmp_path: Path) -> None:
    fill(tmp_path, "m/1/model.onnx")
    (tmp_path / "m/1/loop").symlink_to(tmp_path)
    (tmp_path / "m/again").symlink_to(tmp_path / "m")
    (tmp_path / "me").symlink_to("me")
    truth = Observer(tmp_path).look()
    assert [(m.name, numbers(m)) for m in truth.values()] == [("m", [1])]


def test_a_folder_that_becomes_unreadable_keeps_what_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "m/1/model.onnx", "n/1/model.onnx")
    observer = Observer(tmp_path)
    good = observer.look()
    real = os.scandir

    def faulty(path: str | os.PathLike[str]) -> object:
        if Path(path).name == "m":
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(os, "scandir", faulty)
    bad = observer.settled()
    assert str(bad["m"].error) == f"{tmp_path / 'm'}: cannot be read: Input/output error"
    assert bad["m"].versions == good["m"].versions
    assert bad["n"] == good["n"]
    monkeypatch.setattr(os, "scandir", real)
    assert observer.settled() == good


def test_a_root_that_vanishes_keeps_its_models(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, "models/m/1/model.onnx", "n.onnx")
    observer = Observer(tmp_path / "models", tmp_path / "n.onnx")
    good = observer.look()
    (tmp_path / "models").rename(tmp_path / "away")
    (tmp_path / "n.onnx").unlink()
    assert observer.settled() == good
    assert caplog.text.count("its models stay as they were") == 2
    (tmp_path / "away").rename(tmp_path / "models")
    shutil.rmtree(tmp_path / "models" / "m")
    assert list(observer.settled()) == ["n"]


def test_a_root_that_becomes_a_file_keeps_its_models(tmp_path: Path) -> None:
    fill(tmp_path, "models/m/1/model.onnx")
    observer = Observer(tmp_path / "models")
    good = observer.look()
    shutil.rmtree(tmp_path / "models")
    write(tmp_path / "models", "oops")
    assert observer.settled() == good


def test_a_mount_that_leaves_its_empty_folder_keeps_its_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "models/m/1/model.onnx")
    observer = Observer(tmp_path / "models")
    good = observer.look()
    real = root_module.look_at_root

    def unmounted(root: Root, cache: ManifestCache) -> RootLook:
        return RootLook((), real(root, cache).device + 1, 2, is_folder=True)

    monkeypatch.setattr("penstock.repository.survey.look_at_root", unmounted)
    assert observer.settled() == good


def test_a_name_that_comes_up_twice_leaves_the_first_and_says_so(tmp_path: Path) -> None:
    fill(tmp_path, "a/", "b/m/1/model.onnx")
    observer = Observer(tmp_path / "a", tmp_path / "b")
    good = observer.look()["m"]
    fill(tmp_path, "a/m/1/model.onnx", content="other")
    twice = observer.settled()["m"]
    assert twice.versions == good.versions
    assert str(twice.error) == (
        f"two models are called 'm': {tmp_path / 'a/m'} and {tmp_path / 'b/m'}; rename one"
    )
    shutil.rmtree(tmp_path / "a/m")
    assert observer.settled()["m"] == good


def test_a_name_that_moves_to_another_root_moves(tmp_path: Path) -> None:
    fill(tmp_path, "a/m/1/model.onnx", "b/")
    observer = Observer(tmp_path / "a", tmp_path / "b")
    observer.look()
    (tmp_path / "a/m").rename(tmp_path / "b/m")
    truth = observer.settled()
    assert truth["m"].versions[0].path == tmp_path / "b/m/1/model.onnx"  # type: ignore[union-attr]
