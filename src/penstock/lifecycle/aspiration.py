"""From what is stored of a model to what should serve of it. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence

import msgspec

from penstock.core.errors import InvalidArgument, LoadFailed, NotFound, PenstockError
from penstock.core.ids import ServableId
from penstock.core.loader import Loader
from penstock.core.source import AspiredModel, AspiredVersion
from penstock.lifecycle.version_policy import choose_versions
from penstock.repository.artifact import ArtifactRef, BadArtifact, StoredModel
from penstock.repository.manifest import Manifest


def aspire(stored: StoredModel, make_loader: Callable[[ArtifactRef], Loader]) -> AspiredModel:
    """Apply the version policy and make a loader for each version that should serve.

    Law: an error of one version, or of the whole model, becomes the error of an aspired version
    and stops nothing else. A model with an error and no version is aspired as version 0, so that
    the error has a place to be seen. A model with an error and versions serves those: they are
    its last good state.

    Args:
        stored: what there is of the model.
        make_loader: called once per version; cheap, loads nothing.
    """
    try:
        chosen = choose_versions(stored.manifest.version_policy, _numbers(stored))
    except PenstockError as error:
        return unservable(stored.name, error)
    if stored.error is not None and not chosen:
        return unservable(stored.name, stored.error)
    versions = tuple(
        _aspire_version(version, make_loader)
        for version in stored.versions
        if version.id.version in chosen
    )
    return AspiredModel(stored.name, versions, stored.manifest.labels)


def add_held(
    aspired: AspiredModel,
    sources: Sequence[StoredModel],
    held: Collection[int],
    make_loader: Callable[[ArtifactRef], Loader],
) -> AspiredModel:
    """What should serve, and the versions that are held beside it.

    Law: nothing else changes; a held version that is not stored is an error of its own.

    Args:
        aspired: as the version policy says.
        sources: where held versions are looked for, in turn.
        held: their numbers.
        make_loader: as for ``aspire``.
    """
    missing = sorted(frozenset(held).difference(one.id.version for one in aspired.versions))
    if not missing:
        return aspired
    there = {one.id.version: one for stored in reversed(sources) for one in stored.versions}
    added = (
        _aspire_version(there[number], make_loader)
        if number in there
        else _not_stored(ServableId(aspired.name, number), there)
        for number in missing
    )
    versions = sorted((*aspired.versions, *added), key=lambda one: one.id.version)
    return msgspec.structs.replace(aspired, versions=tuple(versions))


def only_held(stored: StoredModel, held: Collection[int]) -> frozenset[int]:
    """Of the held versions those that the version policy does not choose."""
    try:
        chosen = choose_versions(stored.manifest.version_policy, _numbers(stored))
    except PenstockError:
        return frozenset()
    return frozenset(held).difference(chosen)


def unservable(name: str, error: PenstockError) -> AspiredModel:
    """A model that should serve and cannot, with no version to hang the error on."""
    revision = hashlib.blake2b(error.message.encode(), digest_size=8).hexdigest()
    version = AspiredVersion(ServableId(name, 0), revision, error=error, of_model=True)
    return AspiredModel(name, (version,))


def override_manifest(stored: StoredModel, manifest: Manifest) -> StoredModel:
    """The same artifacts under another manifest; their revisions change with it.

    Raises:
        LoadFailed: the manifest names another artifact or runtime than the one that was found.
    """
    content = msgspec.json.encode(manifest, enc_hook=int, order="sorted")  # ByteSize is an int
    digest = hashlib.blake2b(content, digest_size=8)
    versions = tuple(
        one if isinstance(one, BadArtifact) else _override(one, manifest, digest.hexdigest())
        for one in stored.versions
    )
    return msgspec.structs.replace(stored, manifest=manifest, versions=versions)


def check_model_name(name: str) -> None:
    """Refuse names that no model can have and that a path could be made of.

    Raises:
        InvalidArgument: the name is empty, or holds path traversal characters.
    """
    if not name:
        raise InvalidArgument("Model name cannot be empty")
    if name in (".", "..") or any(char in name for char in "/\\\0"):
        raise InvalidArgument("model name must not contain path traversal characters")


def _numbers(stored: StoredModel) -> list[int]:
    return [version.id.version for version in stored.versions]


def _not_stored(version: ServableId, there: Collection[int]) -> AspiredVersion:
    known = ", ".join(map(str, sorted(there))) or "none"
    error = NotFound(
        f"{version}: a route wants it, and it is not stored; versions that are: {known}"
    )
    return AspiredVersion(version, "", error=error)


def _aspire_version(
    version: ArtifactRef | BadArtifact, make_loader: Callable[[ArtifactRef], Loader]
) -> AspiredVersion:
    if isinstance(version, BadArtifact):
        return AspiredVersion(version.id, version.revision, error=version.error)
    try:
        loader = make_loader(version)
    except PenstockError as error:
        return AspiredVersion(version.id, version.revision, error=error)
    return AspiredVersion(version.id, version.revision, loader=loader)


def _override(artifact: ArtifactRef, manifest: Manifest, digest: str) -> ArtifactRef:
    for field, new, old in (
        ("entry", manifest.entry, artifact.manifest.entry),
        ("runtime", manifest.runtime, artifact.runtime),
    ):
        if new not in (None, old):
            raise LoadFailed(
                f"{artifact.id}: '{field}' cannot be overridden: "
                f"expected {old!r} or nothing, got {new!r}"
            )
    return msgspec.structs.replace(
        artifact, manifest=manifest, revision=f"{artifact.revision}+{digest}"
    )
