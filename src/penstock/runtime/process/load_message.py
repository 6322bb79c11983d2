"""What has to be loaded, as a message and back."""

from __future__ import annotations

from pathlib import Path

import msgspec

from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest_shape import to_manifest
from penstock.runtime.process.frame import Load


def load_message(artifact: ArtifactRef, cpus: tuple[int, ...] = ()) -> Load:
    """What a worker is told of what it has to load."""
    return Load(
        name=artifact.id.name,
        version=artifact.id.version,
        path=str(artifact.path.absolute()),
        root=str(artifact.root.absolute()),
        runtime=artifact.runtime,
        class_name=artifact.class_name,
        num_bytes=artifact.num_bytes,
        revision=artifact.revision,
        manifest=msgspec.to_builtins(artifact.manifest, enc_hook=int),
        cpus=cpus,
    )


def artifact_of(message: Load) -> ArtifactRef:
    """The artifact that a message tells of."""
    return ArtifactRef(
        id=ServableId(message.name, message.version),
        path=Path(message.path),
        root=Path(message.root),
        runtime=message.runtime,
        class_name=message.class_name,
        manifest=to_manifest(message.manifest),
        num_bytes=message.num_bytes,
        revision=message.revision,
    )
