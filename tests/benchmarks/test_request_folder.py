"""Requests on disk come back as they were."""

from pathlib import Path

import pytest

from benchmarks.load.request_folder import read_requests, write_requests
from benchmarks.messages import HttpRequest


def test_requests_of_different_paths_come_back_in_order(tmp_path: Path) -> None:
    requests = [
        HttpRequest("/v2/models/a/infer", b"{}"),
        HttpRequest("/v2/models/b/infer", b"\x00\xff\r\n", {"Content-Type": "a/b", "X-Y": "z"}),
    ]
    assert read_requests(write_requests(tmp_path / "new", requests)) == requests


def test_no_request_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        write_requests(tmp_path, [])
