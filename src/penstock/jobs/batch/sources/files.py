"""Input files, on this machine or in a store: which there are, whether one is still the same."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.sources import local_files, store_files
from penstock.jobs.batch.sources.input_file import InputFile


class Files(NamedTuple):
    """The files that paths and URLs stand for. Methods block; several threads may call them.

    Attributes:
        paths: files, folders and patterns, as ``Paths`` tells.
    """

    paths: tuple[str, ...]

    def __str__(self) -> str:
        """The paths as errors may name them."""
        return ", ".join(shown(path) for path in self.paths)

    def list(self) -> tuple[InputFile, ...]:
        """What is there now, by path; a file that two patterns find is there once.

        Raises:
            JobInputError: there is nothing at one of the paths, or it cannot be looked at.
            ConfigError: a kind of store that is not known, or whose package is not installed.
        """
        found: dict[str, InputFile] = {}
        for path in self.paths:
            files = store_files.find(path) if is_url(path) else local_files.find(path)
            if not files:
                raise JobInputError(f"{shown(path)}: no file is there: check the path")
            named = (file._replace(source=shown(file.source)) for file in files)
            found.update((file.source, file) for file in named)
        return tuple(found[source] for source in sorted(found))

    def look(self, source: str) -> InputFile:
        """A file of the list as it is now.

        Raises:
            JobInputError: it is gone, or cannot be looked at.
        """
        address = self._address(source)
        file = store_files.look(address) if is_url(address) else local_files.look(address)
        return file._replace(source=source)

    def open(self, file: InputFile) -> io.BufferedIOBase:
        """Its bytes as they are stored; can be sought in.

        Raises:
            JobInputError: it is gone, or may not be read.
        """
        address = self._address(file.source)
        if is_url(address):
            return store_files.open_file(file, address)
        return local_files.open_file(address)

    def _address(self, source: str) -> str:
        """What a source is reached at: a signed URL's name does without its signature."""
        signed: Mapping[str, str] = {shown(path): path for path in self.paths}
        return signed.get(source, source)


def is_url(path: str) -> bool:
    """Whether a store is asked for it."""
    return "://" in path


def shown(path: str) -> str:
    """A path or URL as errors, journals and outputs may name it: without a signature."""
    return path.partition("?")[0] if is_http(path) else path


def is_http(path: str) -> bool:
    """Whether a web server is asked for it."""
    return path.startswith(("http://", "https://"))


def check_paths(paths: str | tuple[str, ...]) -> tuple[str, ...]:
    """What a job's ``path`` names, checked.

    Raises:
        ConfigError: it names nothing, or a URL holds credentials.
    """
    listed = (paths,) if isinstance(paths, str) else paths
    if not listed or not all(listed):
        raise ConfigError("input: path: expected at least one path, got none")
    for path in listed:
        parts = urlsplit(path) if is_url(path) else None
        if parts is not None and "@" in parts.netloc:
            raise ConfigError(
                f"input: path: {parts.scheme}://***: credentials do not belong in a URL, which "
                "ends up in logs; give them as the store's own tools take them"
            )
    return listed
