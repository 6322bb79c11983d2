"""Packages in a repository, and packages served by themselves, before they are unpacked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import penstock.repository.package_look as package_look
from penstock.core.errors import ConfigError, LoadFailed
from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef, StoredModel
from penstock.repository.filesystem_source import FileSystemSource
from penstock.repository.package_options import PackageIntake, PackageOptions
from tests.unit.repository.fake_disk import LONG_AGO_NS, fill, numbers, only, why, write
from tests.unit.repository.packed import FILES, contents, save_keys, save_package

YAML = b"max_batch_size: 8\nqueue: {max_requests: 7}\n"


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def source(*paths: str, keys: tuple[Path, ...] = ()) -> FileSystemSource:
    intake = PackageIntake(Path("cache"), PackageOptions(trusted_keys=keys))
    return FileSystemSource(paths, packages=intake)


def scan(*paths: str, keys: tuple[Path, ...] = ()) -> list[StoredModel]:
    return source(*paths, keys=keys).scan()


def unpacked(ref: ArtifactRef) -> dict[str, bytes]:
    assert ref.package is not None
    ref.package.open().release()
    assert ref.path.is_file()
    return contents(ref.root)


def test_a_package_stands_where_a_versions_folder_could() -> None:
    fill(Path(), "models/fraud/2/model.onnx")
    save_package(Path("models/fraud/3.pst"), version=3)
    (model,) = scan("models")
    assert numbers(model) == [2, 3]
    ref = model.versions[1]
    assert isinstance(ref, ArtifactRef)
    assert (ref.id, ref.runtime, ref.num_bytes) == (ServableId("fraud", 3), "onnx", 2106)
    assert not ref.root.exists()
    assert unpacked(ref) == FILES


@pytest.mark.parametrize("path", ["models", "models/fraud"])
def test_a_folder_of_packages_alone_is_a_model(path: str) -> None:
    save_package(Path("models/fraud/1.pst"))
    save_package(Path("models/fraud/2.pst"))
    (model,) = scan(path)
    assert (model.name, numbers(model)) == ("fraud", [1, 2])


def test_a_package_by_itself_tells_its_name_and_version() -> None:
    save_package(Path("download.pst"), {**FILES, "model.yaml": YAML}, name="fraud", version=12)
    (model,) = scan("download.pst")
    ref = only([model])
    assert ref.id == ServableId("fraud", 12)
    assert ref.manifest.max_batch_size == model.manifest.max_batch_size == 8
    assert unpacked(ref) == {**FILES, "model.yaml": YAML}


def test_a_package_by_itself_serves_whatever_its_policy_says() -> None:
    yaml = b"version_policy: {specific: [1]}\nlabels: {old: 1, stable: 3}\n"
    save_package(Path("m.pst"), {**FILES, "model.yaml": yaml}, version=3)
    (model,) = scan("m.pst")
    assert model.manifest.labels == {"stable": 3}
    assert model.manifest.version_policy.latest == 1  # type: ignore[union-attr]


def test_the_repositorys_yaml_is_laid_over_the_packages() -> None:
    save_package(Path("fraud/3.pst"), {**FILES, "model.yaml": YAML})
    write(Path("fraud/model.yaml"), "queue: {max_bytes: 1MiB}\nlabels: {stable: 3}")
    (model,) = scan("fraud")
    manifest = only([model]).manifest
    assert (manifest.max_batch_size, manifest.queue.max_requests) == (8, 7)
    assert manifest.queue.max_bytes == 1024 * 1024
    assert model.manifest.labels == {"stable": 3}


def test_a_load_requests_changes_are_laid_over_what_the_package_says() -> None:
    fill(Path(), "fraud/2/model.onnx")
    policy = b"labels: {stable: 1}\nversion_policy: all\n"
    save_package(Path("fraud/3.pst"), {**FILES, "model.yaml": YAML + policy})
    (model,) = scan("fraud")
    assert model.manifest.max_batch_size == 8
    assert model.manifest.labels == {}
    assert model.manifest.version_policy.latest == 1  # type: ignore[union-attr]
    fill(Path(), "fraud/4/model.onnx")
    assert scan("fraud")[0].manifest.max_batch_size is None


def test_its_place_names_it_where_no_key_is_trusted() -> None:
    save_package(Path("models/churn/7.pst"), name="fraud", version=3)
    assert only(scan("models")).id == ServableId("churn", 7)


def test_its_signature_names_it_where_one_is(tmp_path: Path) -> None:
    private, public = save_keys(tmp_path)
    save_package(Path("models/fraud/3.pst"), sign_key=private)
    assert only(scan("models", keys=(public,))).id == ServableId("fraud", 3)
    save_package(Path("others/fraud/9.pst"), sign_key=private)
    assert "was signed as 'fraud' version 3" in why(scan("others", keys=(public,)))


def test_an_unsigned_package_is_an_error_of_its_version_only(tmp_path: Path) -> None:
    private, public = save_keys(tmp_path)
    save_package(Path("models/fraud/1.pst"), version=1, sign_key=private)
    save_package(Path("models/fraud/2.pst"), version=2)
    (model,) = scan("models", keys=(public,))
    assert numbers(model) == [1]
    with pytest.raises(ConfigError, match="not signed"):
        scan("models/fraud/2.pst", keys=(public,))


def test_a_version_in_both_forms_is_an_error() -> None:
    fill(Path(), "fraud/3/model.onnx")
    save_package(Path("fraud/3.pst"))
    assert "both the folder '3' and the package '3.pst'" in why(scan("fraud"))


def test_a_damaged_package_is_an_error_of_its_version_only() -> None:
    save_package(Path("fraud/1.pst"))
    whole = save_package(Path("fraud/2.pst")).read_bytes()
    Path("fraud/2.pst").write_bytes(whole[:-1])
    fill(Path(), "fraud/3.pst")
    (model,) = scan("fraud")
    assert numbers(model) == [1]
    assert [str(v.error) for v in model.versions if not isinstance(v, ArtifactRef)] == [
        "'fraud' version 2: fraud/2.pst: truncated: expected 8192 bytes, got 8191",
        "'fraud' version 3: fraud/3.pst: not a package of Penstock: "
        "expected the member 'penstock.json'",
    ]


def test_a_bad_yaml_or_no_artifact_is_an_error_of_its_version() -> None:
    save_package(Path("a/1.pst"), {**FILES, "model.yaml": b"max_batch_sise: 8"})
    assert "did you mean 'max_batch_size'?" in why(scan("a"))
    save_package(Path("b/1.pst"), {"readme.md": b""})
    assert "is not there; found: readme.md" in why(scan("b"))


def test_a_bad_package_by_itself_is_refused() -> None:
    fill(Path(), "m.pst")
    with pytest.raises(ConfigError, match=r"m\.pst: not a package of Penstock"):
        scan("m.pst")
    with pytest.raises(ConfigError, match="no such file"):
        scan("none.pst")
    os.mkfifo("pipe.pst")
    with pytest.raises(ConfigError, match=r"pipe\.pst: not a regular file"):
        scan("pipe.pst")


def test_a_package_that_changes_is_a_new_revision() -> None:
    save_package(Path("fraud/3.pst"))
    truth = source("fraud")
    before = only(truth.scan())
    save_package(Path("fraud/3.pst"), {**FILES, "more": b"x"})
    after = only(truth.scan())
    assert before.revision != after.revision
    assert before.package is not None
    with pytest.raises(LoadFailed, match="replaced since it was looked at") as caught:
        before.package.open()
    assert caught.value.retryable


def test_a_package_that_does_not_change_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_package(Path("fraud/3.pst"))
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    looks: list[Path] = []
    read = package_look._read_head

    def counting(path: Path, options: PackageOptions) -> object:
        looks.append(path)
        return read(path, options)

    monkeypatch.setattr(package_look, "_read_head", counting)

    class LongAfter:
        def wall_ns(self) -> int:
            return 4_000_000_000_000_000_000

        def monotonic_ns(self) -> int:
            return 0

    truth = FileSystemSource(["fraud"], clock=LongAfter())
    assert truth.scan() == truth.scan()
    assert len(looks) == 1
