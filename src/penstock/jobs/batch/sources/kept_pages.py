"""KeptPages: an API's pages as they came, in the job's state folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from penstock.core.errors import JobInputError
from penstock.jobs.batch.durable import make_folder, write_whole

PAGES = "pages"
"""The folder, in a job's state folder, that has all pages that were kept for it."""

_MARK = "pages.json"


class KeptPage(msgspec.Struct, frozen=True):
    """A page.

    Attributes:
        items: its items.
        following: the address of the next page; "": there is none.
    """

    items: list[msgspec.Raw]
    following: str = ""


class Whole(msgspec.Struct, frozen=True):
    """What is known once the last page is there.

    Attributes:
        rows: how many items each page has.
        digests: sha256 (hex) of each page's file.
        schema: the columns, as Arrow serializes a schema.
    """

    rows: list[int]
    digests: list[str]
    schema: bytes


class KeptPages:
    """Pages in a folder, a file each, each there as a whole or not at all.

    Addresses in them may hold what the API tells only those who may ask: the folder is its owner's
    alone. Pages of another request are left as they are, so that a job that is changed, and changed
    back, goes on. They are forgotten with the folder ``PAGES``.

    Args:
        state: the job's state folder.
        request: what is asked for, as a name of a folder.
    """

    def __init__(self, state: Path, request: str) -> None:
        self._all = state / PAGES
        self._folder = self._all / request

    def whole(self) -> Whole | None:
        """What is known of all pages; None: the last one is not there yet."""
        try:
            return msgspec.json.decode((self._folder / _MARK).read_bytes(), type=Whole)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def begin(self) -> None:
        """Before pages are put: make room."""
        make_folder(self._all)
        self._all.chmod(0o700)
        make_folder(self._folder)

    def put(self, number: int, page: KeptPage) -> None:
        """Keep a page, durably."""
        write_whole(self._path(number), msgspec.json.encode(page))

    def finish(self, whole: Whole) -> None:
        """All pages are there."""
        write_whole(self._folder / _MARK, msgspec.json.encode(whole))

    def get(self, number: int, digest: str = "") -> KeptPage | None:
        """A page; None: it is not there.

        Args:
            number: from 0.
            digest: what its file must have; "": anything.

        Raises:
            JobInputError: the file is not the one that was written.
        """
        try:
            data = self._path(number).read_bytes()
        except FileNotFoundError:
            return None
        try:
            if digest and hashlib.sha256(data).hexdigest() != digest:
                raise ValueError("its content has changed")
            return msgspec.json.decode(data, type=KeptPage)
        except ValueError as err:
            raise JobInputError(
                f"{self._path(number)}: not as it was kept: {err}; remove the folder to ask for "
                f"all pages again"
            ) from err

    def digest(self, number: int) -> str:
        """The sha256 of a page's file, in hex."""
        return hashlib.sha256(self._path(number).read_bytes()).hexdigest()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.json"
