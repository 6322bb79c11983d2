"""Request bodies on disk, in the form that both load generators read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.messages import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def write_requests(folder: Path, requests: Sequence[HttpRequest]) -> Path:
    """Write `requests` into `folder` (made when missing) and return it.

    Raises ValueError when there is none.
    """
    if not requests:
        raise ValueError("a folder needs at least one request")
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for number, request in enumerate(requests):
        stem = f"{number:05d}"
        (folder / f"{stem}.body").write_bytes(request.body)
        lines = [f"{name}: {value}\n" for name, value in request.headers.items()]
        (folder / f"{stem}.headers").write_text("".join(lines))
        listed.append(f"{stem} {request.path}\n")
    (folder / "list").write_text("".join(listed))
    return folder


def read_requests(folder: Path) -> list[HttpRequest]:
    """Return the requests that `write_requests` wrote; FileNotFoundError when it did not."""
    found = []
    for line in (folder / "list").read_text().splitlines():
        stem, path = line.split(" ")
        lines = (folder / f"{stem}.headers").read_text().splitlines()
        headers = dict(line.split(": ", 1) for line in lines)
        found.append(HttpRequest(path, (folder / f"{stem}.body").read_bytes(), headers))
    return found
