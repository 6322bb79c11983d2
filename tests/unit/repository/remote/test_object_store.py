"""Object stores: a real S3-compatible server; GCS and Azure through fsspec's protocol."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import penstock.repository.remote.object_store as object_store_module
from penstock.core.errors import ConfigError, LoadFailed
from penstock.repository.remote.remote_store import RemoteOptions

from .bringing import Bringer, contents
from .file_server import FileServer, Served


class TestS3:
    def test_a_repository_a_model_a_version_and_a_file(self, bucket: Any, bringer: Bringer) -> None:
        store = f"{bucket.name}/models"
        bucket.pipe(f"{store}/digits/1/model.onnx", b"one")
        bucket.pipe(f"{store}/digits/2/model.onnx", b"two")
        bucket.pipe(f"{store}/digits/model.yaml", b"labels: {stable: 1}")
        bucket.pipe(f"{store}/README.md", b"no part of a model")
        model = {
            "digits/1/model.onnx": b"one",
            "digits/2/model.onnx": b"two",
            "digits/model.yaml": b"labels: {stable: 1}",
        }
        assert bringer.bring(f"s3://{store}") == model
        assert bringer.bring(f"s3://{store}/digits/") == model
        assert bringer.bring(f"s3://{store}/digits/2") == {"digits/2/model.onnx": b"two"}
        file = bringer.bring(f"s3://{store}/digits/2/model.onnx")
        assert file == {"model/model.onnx": b"two"}
        assert bringer.blobs == 3

    def test_markers_of_folders_are_no_files(self, bucket: Any, bringer: Bringer) -> None:
        for key in ("m/", "m/1/"):
            bucket.call_s3("put_object", Bucket=bucket.name, Key=key, Body=b"")
        bucket.pipe(f"{bucket.name}/m/1/model.onnx", b"one")
        assert bringer.bring(f"s3://{bucket.name}") == {"m/1/model.onnx": b"one"}

    def test_nothing_is_there(self, bucket: Any, bringer: Bringer) -> None:
        with pytest.raises(LoadFailed, match=f"s3://{bucket.name}/none: nothing is there .404."):
            bringer.bring(f"s3://{bucket.name}/none")
        with pytest.raises(LoadFailed, match=r"s3://no-such-bucket: not there .404."):
            bringer.bring("s3://no-such-bucket")

    def test_a_large_file_comes_in_pieces(
        self, bucket: Any, bringer: Bringer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(object_store_module, "PIECE_BYTES", 1000)
        content = bytes(range(256)) * 20
        bucket.pipe(f"{bucket.name}/m/1/model.onnx", content)
        assert bringer.bring(f"s3://{bucket.name}/m") == {"m/1/model.onnx": content}

    def test_versions_come_and_go(self, bucket: Any, bringer: Bringer) -> None:
        name = f"{bucket.name}/m"
        bucket.pipe(f"{name}/1/model.onnx", b"one")
        mirror, root = bringer.mirror(f"s3://{name}")
        assert mirror.look().is_held
        assert mirror.look().is_changed
        bucket.pipe(f"{name}/2/model.onnx", b"two")
        bucket.rm(f"{name}/1/model.onnx")
        assert mirror.look() == (True, False)
        assert contents(root) == {"m/1/model.onnx": b"one"}
        assert mirror.look() == (False, True)
        assert contents(root) == {"m/2/model.onnx": b"two"}
        assert mirror.look() == (False, False)

    def test_a_file_replaced_in_the_store_replaces_ours(
        self, bucket: Any, bringer: Bringer
    ) -> None:
        bucket.pipe(f"{bucket.name}/m/1/model.onnx", b"one")
        mirror, root = bringer.mirror(f"s3://{bucket.name}/m")
        mirror.look(believe=True)
        before = (root / "m/1/model.onnx").stat().st_mtime_ns
        bucket.pipe(f"{bucket.name}/m/1/model.onnx", b"two")
        mirror.look(believe=True)
        assert contents(root) == {"m/1/model.onnx": b"two"}
        assert (root / "m/1/model.onnx").stat().st_mtime_ns != before


@pytest.mark.parametrize(
    ("scheme", "fixture"),
    [("gs", "gcs_bucket"), pytest.param("az", "azure_bucket", marks=pytest.mark.slow)],
)
class TestOtherClouds:
    @pytest.fixture
    def place(self, scheme: str, fixture: str, request: pytest.FixtureRequest) -> str:
        """The address of a repository."""
        files = request.getfixturevalue(fixture)
        for version in (1, 2):
            files.pipe_file(f"{files.name}/models/digits/{version}/model.onnx", b"x" * version)
        return f"{scheme}://{files.name}/models"

    def test_a_repository_a_model_a_version_and_a_file(self, place: str, bringer: Bringer) -> None:
        model = {"digits/1/model.onnx": b"x", "digits/2/model.onnx": b"xx"}
        assert bringer.bring(place) == model
        assert bringer.bring(f"{place}/digits") == model
        assert bringer.bring(f"{place}/digits/2") == {"digits/2/model.onnx": b"xx"}
        assert bringer.bring(f"{place}/digits/2/model.onnx") == {"model/model.onnx": b"xx"}

    def test_nothing_is_there(self, place: str, bringer: Bringer) -> None:
        with pytest.raises(LoadFailed, match=f"{place}/none: nothing is there .404."):
            bringer.bring(f"{place}/none")
        scheme = place.partition("://")[0]
        with pytest.raises(LoadFailed, match=rf"{scheme}://no-such-bucket: .*there .404."):
            bringer.bring(f"{scheme}://no-such-bucket")

    def test_a_file_replaced_in_the_store_replaces_ours(
        self, place: str, bringer: Bringer, request: pytest.FixtureRequest, fixture: str
    ) -> None:
        mirror, root = bringer.mirror(f"{place}/digits/1")
        mirror.look(believe=True)
        request.getfixturevalue(fixture).pipe_file(
            f"{place.partition('://')[2]}/digits/1/model.onnx", b"y"
        )
        mirror.look(believe=True)
        assert contents(root) == {"digits/1/model.onnx": b"y"}


class TestS3Faults:
    """The client against a server that refuses, stalls and is busy."""

    @pytest.fixture
    def broken(self, web: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return web

    @pytest.fixture
    def listing(self, broken: FileServer) -> Served:
        query = "list-type=2&prefix=m%2F&delimiter=&encoding-type=url"
        served = Served(content_type="application/xml")
        for path in (f"/bucket?{query}", f"/bucket?{query.replace('%2F', '/')}"):
            broken.files[path] = served
        return served

    def test_403(self, listing: Served, broken: FileServer, bringer: Bringer) -> None:
        listing.statuses = [403] * 99
        with pytest.raises(LoadFailed, match=r"s3://bucket/m: .*\(403\).*AWS_PROFILE") as caught:
            bringer.bring("s3://bucket/m")
        assert not caught.value.retryable

    def test_503(self, listing: Served, broken: FileServer, bringer: Bringer) -> None:
        listing.statuses = [503] * 99
        with pytest.raises(LoadFailed, match="s3://bucket/m: cannot be fetched") as caught:
            bringer.bring("s3://bucket/m")
        assert caught.value.retryable

    def test_slow(self, listing: Served, broken: FileServer, bringer: Bringer) -> None:
        import threading

        listing.content, listing.stall = b"<xml/>", threading.Event()
        hasty = RemoteOptions(timeout_s=0.3, attempts=2, initial_backoff_s=0)
        with pytest.raises(LoadFailed, match=r"no answer within 0\.3 s"):
            bringer.bring("s3://bucket/m", options=hasty)


class FakeCloud(MemoryFileSystem):
    """What gcsfs and adlfs have in common with every fsspec file system, in memory.

    Attributes:
        md5: whether it tells MD5 digests, the right ones or wrong ones.
        refuses: what every read raises.
    """

    protocol = "memory"
    store: ClassVar[dict[str, Any]] = {}
    md5 = ""
    refuses: Exception | None = None
    reads: ClassVar[list[tuple[int, int]]] = []

    def find(self, path: str, detail: bool = False, **more: Any) -> Any:
        found = super().find(path, detail=True, **more)
        return {name.lstrip("/"): self._told(info) for name, info in found.items()}

    def info(self, path: str, **more: Any) -> Any:
        return self._told(super().info(path, **more))

    def cat_file(self, path: str, start: Any = None, end: Any = None, **more: Any) -> bytes:
        self.reads.append((start, end))
        if self.refuses is not None:
            raise self.refuses
        return super().cat_file(path, start=start, end=end, **more)

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        if info["type"] == "directory":
            return info
        digest = hashlib.md5(self.store[info["name"]].getvalue()).digest()
        info["etag"] = digest.hex()
        if self.md5 == "gcs":
            info["md5Hash"] = base64.b64encode(digest).decode()
        if self.md5 == "azure":
            info["content_settings"] = {"content_md5": bytearray(b"\x11" * 16)}
        return info


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeCloud]]:
    """Stands where gcsfs and adlfs would, empty."""

    class Cloud(FakeCloud):
        store: ClassVar[dict[str, Any]] = {}
        reads: ClassVar[list[tuple[int, int]]] = []

    real = fsspec.get_filesystem_class
    monkeypatch.setattr(
        fsspec, "get_filesystem_class", lambda name: Cloud if name in ("gs", "az") else real(name)
    )
    yield Cloud
    Cloud.store.clear()


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_gcs_and_azure_are_read_the_same_way(
    scheme: str, cloud: type[FakeCloud], bringer: Bringer
) -> None:
    cloud().pipe("/bucket/models/churn/3/model.onnx", b"three")
    assert bringer.bring(f"{scheme}://bucket/models") == {"churn/3/model.onnx": b"three"}


def test_the_digest_that_a_store_keeps_is_held_against_what_came(
    cloud: type[FakeCloud], bringer: Bringer
) -> None:
    cloud().pipe("/bucket/m/1/model.onnx", b"three")
    cloud.md5 = "gcs"
    assert bringer.bring("gs://bucket/m") == {"m/1/model.onnx": b"three"}
    cloud().pipe("/bucket/m/1/model.onnx", b"four")
    cloud.md5 = "azure"
    with pytest.raises(LoadFailed, match=f"wrong digest: expected md5 {'11' * 16}"):
        bringer.bring("az://bucket/m")


def test_an_object_replaced_while_it_is_read_is_not_believed(
    cloud: type[FakeCloud], bringer: Bringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud().pipe("/bucket/m/1/model.onnx", b"x" * 10)
    real = FakeCloud.info
    monkeypatch.setattr(cloud, "info", lambda *a, **k: {**real(*a, **k), "etag": "later"})
    with pytest.raises(LoadFailed, match="cannot be fetched: ConnectionError"):
        bringer.bring("gs://bucket/m")
    assert bringer.blobs == 0


def test_an_address_that_is_a_file_is_listed_by_name_alone_in_azure(
    cloud: type[FakeCloud], bringer: Bringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud().pipe("/bucket/m/model.onnx", b"x")
    real = FakeCloud.find
    monkeypatch.setattr(cloud, "find", lambda *args, **more: [*real(*args, **more)])
    assert bringer.bring("az://bucket/m/model.onnx") == {"model/model.onnx": b"x"}


def test_a_refusal_of_gcs_has_no_status(cloud: type[FakeCloud], bringer: Bringer) -> None:
    cloud().pipe("/bucket/m/1/model.onnx", b"x")
    cloud.refuses = OSError("Forbidden: https://storage/b/bucket SECRET")
    with pytest.raises(LoadFailed, match=r"the store refuses \(403\).*GOOGLE_APP") as caught:
        bringer.bring("gs://bucket/m")
    assert not caught.value.retryable


def test_what_a_client_says_is_not_repeated(cloud: type[FakeCloud], bringer: Bringer) -> None:
    cloud().pipe("/bucket/m/1/model.onnx", b"x")
    cloud.refuses = RuntimeError("https://host/?sig=SECRET")
    with pytest.raises(
        LoadFailed, match=r"gs://bucket/m: model\.onnx: cannot be fetched"
    ) as caught:
        bringer.bring("gs://bucket/m")
    assert "SECRET" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "extra"), [("s3://b/m", "s3"), ("gs://b/m", "gcs"), ("az://b/m", "azure")]
)
def test_a_missing_package_is_named_with_its_command(
    url: str, extra: str, bringer: Bringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: str) -> None:
        raise ImportError("No module named x")

    monkeypatch.setattr(fsspec, "get_filesystem_class", missing)
    with pytest.raises(ConfigError, match=rf"{url}: .*pip install 'penstock\[{extra}\]'"):
        bringer.bring(url)


def test_a_client_that_finds_no_account(
    cloud: type[FakeCloud], bringer: Bringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("account_name SECRET")

    monkeypatch.setattr(cloud, "__init__", refuse)
    with pytest.raises(ConfigError, match=r"az://b/m: .* AZURE_STORAGE_ACCOUNT_NAME") as caught:
        bringer.bring("az://b/m")
    assert "SECRET" not in caught.value.message


def test_a_key_that_leads_out_of_its_folder_is_refused(
    cloud: type[FakeCloud], bringer: Bringer, tmp_path: Path
) -> None:
    files = cloud()
    files.pipe("/bucket/m/1/model.onnx", b"x")
    files.store["/bucket/m/1/../../../../evil.onnx"] = files.store["/bucket/m/1/model.onnx"]
    with pytest.raises(LoadFailed, match="refuses a file whose name is no plain path"):
        bringer.bring("gs://bucket/m")
    assert not list(tmp_path.rglob("evil.onnx"))
