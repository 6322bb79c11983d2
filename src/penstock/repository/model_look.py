"""ModelLook: one model as one look at the disk found it, complete or not."""

from __future__ import annotations

import msgspec

from penstock.core.errors import PenstockError
from penstock.repository.artifact import ArtifactRef, BadArtifact
from penstock.repository.manifest import Manifest


class VersionLook(msgspec.Struct, frozen=True):
    """One version as it is on disk at this moment, perhaps half-copied.

    Attributes:
        found: what it would be if nothing more came.
        newest_ns: when anything about it changed last, wall time of the file system.
    """

    found: ArtifactRef | BadArtifact
    newest_ns: int


class ModelLook(msgspec.Struct, frozen=True):
    """One model as it is on disk at this moment.

    Attributes:
        name: the model's name.
        path: where it is, as the user wrote it: for messages.
        mark: changes whenever the manifest or the error does.
        newest_ns: when the manifest (or, with no version, the folder) changed last.
        manifest: its manifest; the default one where ``error`` is set.
        versions: the versions; empty where ``error`` is set.
        present: numbers of the versions that are there, whatever is in them; None: unknown.
        error: why nothing can be said of its versions; None when all is well.
    """

    name: str
    path: str
    mark: str
    newest_ns: int
    manifest: Manifest = msgspec.field(default_factory=Manifest)
    versions: tuple[VersionLook, ...] = ()
    present: frozenset[int] | None = frozenset()
    error: PenstockError | None = None

    @classmethod
    def failed(
        cls,
        name: str,
        path: str,
        error: PenstockError,
        *,
        newest_ns: int = 0,
        present: frozenset[int] | None = None,
    ) -> ModelLook:
        """A model of which only the error is known."""
        mark = f"error: {error.message}"
        return cls(name, path, mark, newest_ns, present=present, error=error)
