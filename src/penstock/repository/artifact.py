"""ArtifactRef: one version of a model on disk, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import msgspec

from penstock.core.errors import PenstockError
from penstock.core.ids import ServableId
from penstock.repository.manifest import Manifest
from penstock.repository.package_ref import PackageRef


class ArtifactRef(msgspec.Struct, frozen=True):
    """Everything a Loader needs to know of one version.

    Attributes:
        id: the version.
        path: the artifact: a file.
        root: the folder of the version, where its other files are.
        runtime: the runtime's name, such as ``onnx``.
        class_name: for Python, the class to serve; None: the only one there is.
        manifest: the model's manifest, defaults where it has none.
        num_bytes: size of the version's files.
        revision: fingerprint of the files and the manifest.
        package: the package whose files are not in ``root`` before it is unpacked; None: they
            are there.
        is_single_file: whether the file was served by its own path: it can have no manifest.
    """

    id: ServableId
    path: Path
    root: Path
    runtime: str
    class_name: str | None
    manifest: Manifest
    num_bytes: int
    revision: str
    package: PackageRef | None = None
    is_single_file: bool = False


class BadArtifact(msgspec.Struct, frozen=True):
    """A version that is there but cannot be served.

    Attributes:
        id: the version.
        revision: fingerprint of what is there.
        error: why.
    """

    id: ServableId
    revision: str
    error: PenstockError


class StoredModel(msgspec.Struct, frozen=True):
    """One model as its repository holds it: all versions there are, whichever shall serve.

    Law: where ``error`` is set, ``manifest`` and ``versions`` are the last good ones (less the
    versions that are gone), so that what serves keeps serving while somebody mends the file.
    Without a last good state they are the default manifest and nothing.

    Attributes:
        name: the model's name.
        manifest: its manifest; the default one where it has none.
        versions: every complete version, in ascending order.
        error: what is wrong with the model as a whole (a bad manifest, an unreadable folder);
            None when all is well.
    """

    name: str
    manifest: Manifest
    versions: tuple[ArtifactRef | BadArtifact, ...] = ()
    error: PenstockError | None = None
