"""Servers to fetch from, and a cache to fetch to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .bringing import Bringer
from .file_server import FileServer


@pytest.fixture
def web() -> Iterator[FileServer]:
    """A web server without files."""
    with FileServer().running() as server:
        yield server


@pytest.fixture
def bringer(tmp_path: Path) -> Bringer:
    """Brings URLs to a folder of the test, without waits."""
    return Bringer(tmp_path / "cache")
