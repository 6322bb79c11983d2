"""Roots: what files a job over HTTP may touch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from penstock.core.errors import ConfigError
from penstock.jobs.batch.sources.files import Files, check_paths, is_url
from penstock.jobs.batch.sources.hidden import fixed_part

_FILE = "file://"


class Roots:
    """The folders and URLs of the setting ``jobs.roots``. Methods may block on the disk.

    A path is below a folder where it is so after every link in it was followed. A URL is taken as
    it is written, without ``..`` in it.

    Args:
        roots: folders of this machine and URLs.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        local = [one.removeprefix(_FILE) for one in roots]
        self._urls = tuple(one.rstrip("/") + "/" for one in local if is_url(one))
        self._folders = tuple(Path(one).resolve() for one in local if not is_url(one))

    def check_input(self, paths: str | tuple[str, ...]) -> None:
        """Refuse files, folders, patterns and URLs that are not below a root. Before a pattern's
        files are known; see ``check_files``.

        Raises:
            ConfigError: one of them is not, or has ``..`` in it, or there is none.
        """
        for path in check_paths(paths):
            plain = path.removeprefix(_FILE)
            if not self._is_below(plain if is_url(plain) else fixed_part(plain), plain):
                raise _refused(path, "input.path")

    def check_files(self, paths: str | tuple[str, ...]) -> None:
        """Refuse patterns and folders that lead, by a link below them, to a file elsewhere.

        Raises:
            ConfigError: one does.
            JobInputError: there is nothing, or it cannot be looked at.
        """
        for file in Files(check_paths(paths)).list():
            plain = file.source.removeprefix(_FILE)
            if not self._is_below(plain, plain):
                raise _refused(file.source, "input.path")

    def check_output(self, path: str) -> None:
        """Refuse a folder or URL that is not below a root.

        Raises:
            ConfigError: it is not, or has ``..`` in it.
        """
        plain = path.removeprefix(_FILE)
        if not self._is_below(plain, plain):
            raise _refused(path, "output.path")

    def _is_below(self, fixed: str, path: str) -> bool:
        """Whether a path, of a pattern the folder that it looks in, is below a root."""
        if ".." in path.replace("\\", "/").split("/") or "\0" in path or "::" in path:
            return False
        if is_url(path):
            return "%" not in path and f"{fixed}/".startswith(self._urls)
        if not path.startswith("/"):
            return False
        found = Path(os.path.realpath(fixed or "/"))
        return any(found == root or root in found.parents for root in self._folders)


def _refused(path: str, field: str) -> ConfigError:
    return ConfigError(
        f"{field}: '{path[:200]}' is not below one of the folders and URLs that jobs may touch "
        "(absolute, without '..'): the setting jobs.roots of the server names them; or upload the "
        "file"
    )
