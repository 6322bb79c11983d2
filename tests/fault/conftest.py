"""A live server for the fault tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.live import AT_ONCE, Live
from tests.interop.models import save_repository


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_repository(tmp_path_factory.mktemp("fault") / "models")


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[Live]:
    """Serves everything, with small limits."""
    limits = ("--set", "http.limits.max_body_bytes=4000000")
    slow = ("--set", "http.limits.body_timeout_s=1")
    with Live([models], *AT_ONCE, *limits, *slow, folder=models.parent) as live:
        yield live
