"""Look at a package on disk: which version it is, without unpacking it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from penstock.core.errors import ConfigError, LoadFailed, PenstockError
from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef, BadArtifact
from penstock.repository.fingerprint import fingerprint
from penstock.repository.format import choose_artifact
from penstock.repository.listing import Entry, stat_entry
from penstock.repository.manifest import MANIFEST_NAME, Manifest, VersionPolicyFields
from penstock.repository.manifest_cache import ManifestCache, ReadManifest
from penstock.repository.manifest_file import apply_overrides, parse_manifest
from penstock.repository.manifest_yaml import parse_yaml
from penstock.repository.model_look import ModelLook, VersionLook
from penstock.repository.package_head import PackageHead, read_head
from penstock.repository.package_options import PackageOptions
from penstock.repository.package_ref import PackageRef
from penstock.repository.package_store import folder_of
from penstock.repository.signed_only import check_laid_over


def look_at_package(
    path: Path, entry: Entry, id_: ServableId, read: ReadManifest, cache: ManifestCache
) -> VersionLook:
    """Look at a package that stands where a version's folder could.

    Law: nothing of it is unpacked, and no error of it is raised: it travels as data. Its own
    ``model.yaml`` counts where the model's says nothing.

    Args:
        path: the package.
        entry: the package as it was listed just now.
        id_: the version that its place makes it.
        read: the model's ``model.yaml``.
        cache: what was read before.

    Concurrency: blocks on the file system.
    """
    revision = fingerprint((entry,), read.content)
    found: ArtifactRef | BadArtifact
    try:
        head = _head(path, entry, cache)
        _check_place(head, id_, cache.packages.options)
        manifest = _laid_over(_own_manifest(head, path), read, path, cache.packages.options)
        found = _artifact(path, head, id_, manifest, cache, revision)
    except PenstockError as err:
        found = BadArtifact(id_, revision, LoadFailed(f"{id_}: {err.message}"))
    except OSError as err:
        text = f"{id_}: {path}: cannot be read: {err.strerror or err}"
        found = BadArtifact(id_, revision, LoadFailed(text))
    return VersionLook(found, entry.newest_ns)


def look_at_package_file(path: Path, cache: ManifestCache) -> ModelLook:
    """Look at a package that is served by itself: it tells its own name and version. Blocks.

    Raises:
        OSError: it is not there or cannot be read.
        ConfigError: it cannot be served.
    """
    entry = stat_entry(path)
    if entry.kind != "file":
        raise ConfigError(f"{path}: not a regular file")
    try:
        head = _head(path, entry, cache)
        id_ = head.manifest.id
        manifest = _alone(_own_manifest(head, path), id_.version)
        revision = fingerprint((entry,))
        found = _artifact(path, head, id_, manifest, cache, revision)
    except LoadFailed as err:
        raise ConfigError(err.message) from err
    version = VersionLook(found, entry.newest_ns)
    mark, present = head.seal.sha256, frozenset({id_.version})
    return ModelLook(id_.name, str(path), mark, 0, manifest, (version,), present)


def _head(path: Path, entry: Entry, cache: ManifestCache) -> PackageHead:
    """The head, read anew only if the file changed."""
    found = cache.remember(path, entry, lambda: _read_head(path, cache.packages.options))
    if isinstance(found, PenstockError):
        raise found
    return found


def _read_head(path: Path, options: PackageOptions) -> PackageHead | PenstockError:
    try:
        with path.open("rb") as file:
            return read_head(file, options, str(path))
    except PenstockError as err:
        return err


def _check_place(head: PackageHead, id_: ServableId, options: PackageOptions) -> None:
    """Where signatures count, a package is the version that was signed, wherever it lies.

    Raises:
        LoadFailed: its place makes it another one.
    """
    if options.trusted_keys and head.manifest.id != id_:
        raise LoadFailed(
            f"the package here was signed as {head.manifest.id}: "
            "put it in its own place, or pack and sign it as what it shall be"
        )


def _own_manifest(head: PackageHead, path: Path) -> Manifest:
    """The package's ``model.yaml``, with runtime and entry as they were when it was packed."""
    return parse_manifest(head.model_yaml, f"{path}/{MANIFEST_NAME}")


def _laid_over(own: Manifest, read: ReadManifest, path: Path, options: PackageOptions) -> Manifest:
    """The model's ``model.yaml`` over the package's, field by field.

    Raises:
        LoadFailed: it says what only a signed file may.
    """
    source = str(path.parent / MANIFEST_NAME)
    fields = parse_yaml(read.content, source) if read.content else None
    if not isinstance(fields, dict):
        return own
    if options.require_signed:
        check_laid_over(fields, source)
    return apply_overrides(own, fields, source)


def _alone(manifest: Manifest, version: int) -> Manifest:
    """A manifest for a model that has but this version."""
    labels = {label: number for label, number in manifest.labels.items() if number == version}
    policy = VersionPolicyFields(latest=1)
    return msgspec.structs.replace(manifest, version_policy=policy, labels=labels)


def _artifact(
    path: Path,
    head: PackageHead,
    id_: ServableId,
    manifest: Manifest,
    cache: ManifestCache,
    revision: str,
) -> ArtifactRef:
    """The version as it will be once it is unpacked.

    Raises:
        LoadFailed: it holds no artifact.
    """
    files = [file.path for file in head.manifest.files if file.path != MANIFEST_NAME]
    chosen = choose_artifact(
        files,
        entry=manifest.entry or head.manifest.entry,
        runtime=manifest.runtime or head.manifest.runtime,
    )
    if isinstance(chosen, str):
        raise LoadFailed(f"{path}: {chosen}")
    folder = folder_of(head.manifest, cache.packages.cache).absolute()
    return ArtifactRef(
        id=id_,
        path=folder / chosen.path,
        root=folder,
        runtime=chosen.runtime,
        class_name=chosen.class_name,
        manifest=manifest,
        num_bytes=head.manifest.num_bytes,
        revision=revision,
        package=PackageRef(path.absolute(), folder, cache.packages),
    )
