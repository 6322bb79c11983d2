"""Live servers for the interop tests, as few as will do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.live import AT_ONCE, Live
from tests.interop.models import save_repository


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_repository(tmp_path_factory.mktemp("interop") / "models")


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[Live]:
    """Serves everything; follows the repository; gRPC on libnghttp2; takes batch jobs."""
    engine = ("--set", "grpc.engine=nghttp2", "--set", "jobs.folder=jobs")
    with Live([repository], *AT_ONCE, *engine, folder=repository.parent) as live:
        yield live


@pytest.fixture(scope="session")
def grpcio_server(repository: Path) -> Iterator[Live]:
    """Serves everything too; gRPC on grpcio."""
    engine = ("--set", "grpc.engine=grpcio")
    with Live([repository], *AT_ONCE, *engine, folder=repository.parent) as live:
        yield live


@pytest.fixture(scope="session")
def explicit_server(repository: Path) -> Iterator[Live]:
    """Loads and unloads by request; starts with nothing but ``simple``."""
    arguments = ["--model-control", "explicit", "--load-model", "simple", *AT_ONCE]
    arguments += ["--set", "server_name=triton"]
    with Live([repository], *arguments, folder=repository.parent) as live:
        yield live
