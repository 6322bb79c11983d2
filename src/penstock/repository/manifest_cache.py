"""ManifestCache: a model.yaml, or a package's head, that did not change is not read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from penstock.core.errors import ConfigError
from penstock.repository.listing import Entry
from penstock.repository.manifest import Manifest
from penstock.repository.manifest_file import read_manifest
from penstock.repository.package_options import PackageIntake, default_cache

T = TypeVar("T")

_SAFE_AGE_NS = 2_000_000_000


class ReadManifest(msgspec.Struct, frozen=True):
    """What reading a manifest gave.

    Attributes:
        content: the file's bytes; empty: there is no file, or it could not be read.
        manifest: the manifest; the default one where ``error`` is set.
        error: what is wrong with it; None: nothing.
    """

    content: bytes = b""
    manifest: Manifest = msgspec.field(default_factory=Manifest)
    error: ConfigError | None = None


class ManifestCache:
    """Remembers what small files said, by path; one thread at a time.

    Law: never answers with the reading of a file that has changed since. A file that changed
    less than two seconds before it was read is not remembered: within the resolution of file
    times (two seconds on FAT) it could change again and look the same.

    Args:
        wall_ns: the wall clock, in nanoseconds.
        packages: how packages are taken in; None: unsigned too, to the default folder.

    Attributes:
        packages: how packages are taken in.
    """

    def __init__(self, wall_ns: Callable[[], int], packages: PackageIntake | None = None) -> None:
        self.packages = packages or PackageIntake(default_cache())
        self._wall_ns = wall_ns
        self._before: dict[Path, tuple[Entry, Any]] = {}
        self._known: dict[Path, tuple[Entry, Any]] = {}

    def start_look(self) -> None:
        """Forget what the look before this one did not read, so that models that are gone
        take no memory.
        """
        self._before, self._known = self._known, {}

    def read(self, path: Path, entry: Entry) -> ReadManifest:
        """The manifest at ``path``; an error travels as data. Blocks.

        Args:
            path: the file.
            entry: the file as it was listed just now.
        """
        return self.remember(path, entry, lambda: _read(path, entry))

    def remember(self, path: Path, entry: Entry, read: Callable[[], T]) -> T:
        """What ``read`` gives, or gave when the file was the same; always one type for a path."""
        known = self._before.get(path)
        if known is None or known[0] != entry:
            now_ns = self._wall_ns()
            known = (entry, read())
            if now_ns - entry.newest_ns < _SAFE_AGE_NS:
                return known[1]
        self._known[path] = known
        return cast(T, known[1])


def _read(path: Path, entry: Entry) -> ReadManifest:
    if entry.kind != "file":
        return ReadManifest(error=ConfigError(f"{path}: not a regular file"))
    try:
        manifest, content = read_manifest(path)
    except ConfigError as err:
        return ReadManifest(error=err)
    return ReadManifest(content, manifest)
