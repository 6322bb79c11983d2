"""model_digest: one name for all that a version's answers depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef
from penstock.repository.listing import walk
from penstock.repository.manifest import MANIFEST_NAME, Instances, Manifest

_DEFAULT = Manifest()


def model_digest(artifact: ArtifactRef) -> str:
    """The sha256 (hex) of a version's files and of what its manifest says of its answers.

    Law: the same wherever the files lie, whenever they were written, packed or not. Another label,
    version policy, queue or number of copies is the same model.

    Other models that it calls are not in it.

    Args:
        artifact: the version; its files are there.

    Raises:
        LoadFailed: a file cannot be read.

    Concurrency: blocks; reads every byte.
    """
    digest = hashlib.sha256()
    told = [_answering(artifact.manifest), artifact.runtime, artifact.class_name]
    digest.update(msgspec.json.encode(told, enc_hook=int, order="sorted"))
    try:
        for name, path in _files(artifact):
            encoded = name.encode("utf-8", "surrogateescape")
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            digest.update(b"%d:%b%b" % (len(encoded), encoded, content))
    except OSError as err:
        raise LoadFailed(f"{artifact.id}: cannot be read: {err.strerror or err}") from err
    return digest.hexdigest()


def _answering(manifest: Manifest) -> Manifest:
    """The manifest without what says only when, where and how often the model computes."""
    instances = manifest.instances
    kept = Instances(
        threads_per_instance=instances.threads_per_instance,
        device=instances.device,
        python=instances.python,
        env=instances.env,
        working_dir=instances.working_dir,
    )
    return msgspec.structs.replace(
        manifest,
        description="",
        batching=msgspec.structs.replace(_DEFAULT.batching, pad=manifest.batching.pad),
        queue=_DEFAULT.queue,
        instances=kept,
        stages=_DEFAULT.stages,
        version_policy=_DEFAULT.version_policy,
        labels={},
        response_cache=None,
        keep_loaded=False,
        warmup=None,
    )


def _files(artifact: ArtifactRef) -> Iterator[tuple[str, Path]]:
    """Names and places of the version's files, in an order that is always the same."""
    if artifact.is_single_file:
        yield artifact.path.name, artifact.path
        return
    for entry in walk(artifact.root).entries:
        if entry.kind == "file" and entry.path != MANIFEST_NAME:
            yield entry.path, artifact.root / entry.path
