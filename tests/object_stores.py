"""Object stores to read and write: emulators, what points their clients there, and buckets."""

from __future__ import annotations

import threading
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of a running S3-compatible server."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_: Any, **__: Any) -> None:
            pass

    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def s3_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What points S3 clients, this process's and those of others, at the server."""
    variables = {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return _set(monkeypatch, variables)


@pytest.fixture
def bucket(s3_environment: dict[str, str]) -> Any:
    """A file system to write to an empty bucket of the server with; ``bucket.name``."""
    import s3fs

    return _with_bucket(s3fs.S3FileSystem)


@pytest.fixture(scope="session")
def gcs_endpoint() -> Iterator[str]:
    """The address of a running emulator of Google Cloud Storage."""
    from tests.unit.repository.remote.gcs_server import gcs_server

    with gcs_server() as url:
        yield url


@pytest.fixture
def gcs_environment(gcs_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What points clients of Google Cloud Storage at it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions of gRPC, which is not used
        import gcsfs  # noqa: F401
    variables = {"STORAGE_EMULATOR_HOST": gcs_endpoint, "NO_GCE_CHECK": "true"}
    return _set(monkeypatch, variables)


@pytest.fixture
def gcs_bucket(gcs_environment: dict[str, str]) -> Any:
    """A file system to write to an empty bucket of the emulator with; ``bucket.name``."""
    import gcsfs

    return _with_bucket(gcsfs.GCSFileSystem)


@pytest.fixture(scope="session")
def azure_connection() -> Iterator[str]:
    """What connects to a running emulator of Azure's storage."""
    from tests.unit.repository.remote.azure_server import azure_server

    with azure_server() as connection:
        yield connection


@pytest.fixture
def azure_environment(azure_connection: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What points clients of Azure's storage at it."""
    variables = {"AZURE_STORAGE_CONNECTION_STRING": azure_connection}
    return _set(monkeypatch, variables)


@pytest.fixture
def azure_bucket(azure_environment: dict[str, str]) -> Any:
    """A file system to write to an empty container of the emulator with; ``bucket.name``."""
    import adlfs

    return _with_bucket(adlfs.AzureBlobFileSystem)


def _set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> dict[str, str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def _with_bucket(kind: Any) -> Any:
    """A file system with a new bucket."""
    files = kind(use_listings_cache=False, skip_instance_cache=True)
    files.name = f"bucket-{uuid.uuid4().hex}"
    files.mkdir(files.name)
    return files
