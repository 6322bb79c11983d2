"""Look at one model on disk: a folder with versions, a folder with an artifact, or one file."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import msgspec

from penstock.core.errors import ConfigError, LoadFailed, PenstockError
from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef, BadArtifact
from penstock.repository.fingerprint import fingerprint
from penstock.repository.format import choose_artifact
from penstock.repository.layout import (
    has_loose_artifact,
    is_model_name,
    is_skipped,
    version_folders,
    version_packages,
)
from penstock.repository.listing import Entry, Tree, is_transient, list_folder, stat_entry, walk
from penstock.repository.manifest import MANIFEST_NAME, Manifest
from penstock.repository.manifest_cache import ManifestCache, ReadManifest
from penstock.repository.model_look import ModelLook, VersionLook


def look_at_folder(folder: Path, name: str, cache: ManifestCache) -> ModelLook | None:
    """Look at a model's folder.

    Law: never raises for what is in the folder; an error of the model travels as data.

    Args:
        folder: the folder.
        name: the model's name.
        cache: manifests read before.

    Returns:
        What is there; None: the folder went away.

    Concurrency: blocks on the file system.
    """
    try:
        entries = list_folder(folder)
        newest_ns = stat_entry(folder).newest_ns
    except FileNotFoundError:
        return None
    except OSError as err:
        return ModelLook.failed(name, str(folder), _unreadable(str(folder), err))
    return _look(folder, name, entries, newest_ns, cache)


def look_at_file(file: Path, name: str, class_name: str | None) -> ModelLook:
    """Look at a model that is a single file: version 1, no manifest. Blocks.

    Raises:
        OSError: the file is not there or cannot be read.
    """
    entry = stat_entry(file)
    tree = Tree((entry,), entry.newest_ns)
    entry_text = f"{file.name}:{class_name}" if class_name else file.name
    found = _version(file.parent, ServableId(name, 1), tree, ReadManifest(), entry_text)
    if isinstance(found.found, ArtifactRef):
        alone = msgspec.structs.replace(found.found, is_single_file=True)
        found = msgspec.structs.replace(found, found=alone)
    return ModelLook(name, str(file), "", 0, versions=(found,), present=frozenset({1}))


def _look(
    folder: Path, name: str, entries: Sequence[Entry], newest_ns: int, cache: ManifestCache
) -> ModelLook:
    """What a folder's entries make of it."""
    path = str(folder)
    manifest_entry = next((e for e in entries if e.path == MANIFEST_NAME), None)
    read = cache.read(folder / MANIFEST_NAME, manifest_entry) if manifest_entry else ReadManifest()
    numbered, packed = version_folders(entries), version_packages(entries)
    is_loose = not (numbered or packed) and has_loose_artifact(entries, read.manifest)
    present = frozenset({1}) if is_loose else frozenset(numbered.keys() | packed.keys())
    error = read.error or _misplaced(path, name, entries, present)
    if error is not None:
        newest_ns = manifest_entry.newest_ns if read.error and manifest_entry else newest_ns
        mark = _mark(manifest_entry, error.message)
        is_unknown = bool(read.error) and not present and bool(_contents(entries))
        known = None if is_unknown else present  # an unread manifest may name a loose artifact
        failed = ModelLook.failed(name, path, error, newest_ns=newest_ns, present=known)
        return msgspec.structs.replace(failed, mark=mark)
    folders = {1: folder} if is_loose else {n: folder / sub for n, sub in numbered.items()}
    looks = {
        n: _look_at_version(f, ServableId(name, n), read, is_loose=is_loose)
        for n, f in folders.items()
    }
    if packed:
        looks |= _packages(folder, name, packed, read, cache, looks)
    found = tuple(look for _, look in sorted(looks.items()) if look is not None)
    if found:
        newest_ns = manifest_entry.newest_ns if manifest_entry else 0
    newest = found[-1].found if found else None
    if isinstance(newest, ArtifactRef) and newest.package is not None:
        mark = _mark(manifest_entry, newest.revision)
        manifest = _model_manifest(newest.manifest, read.manifest)
        return ModelLook(name, path, mark, newest_ns, manifest, found, present)
    return ModelLook(name, path, _mark(manifest_entry), newest_ns, read.manifest, found, present)


def _model_manifest(newest: Manifest, model: Manifest) -> Manifest:
    """The manifest of a model whose newest version is a package.

    A load request's changes are laid over this one, so it must hold what the package says. Which
    versions serve is the repository's to say.
    """
    return msgspec.structs.replace(newest, version_policy=model.version_policy, labels=model.labels)


def _packages(
    folder: Path,
    name: str,
    packed: Mapping[int, Entry],
    read: ReadManifest,
    cache: ManifestCache,
    folders: Container[int],
) -> dict[int, VersionLook]:
    """The versions that are packages; one that is a folder too is bad."""
    from penstock.repository.package_look import look_at_package

    looks = {}
    for number, entry in packed.items():
        id_ = ServableId(name, number)
        if number in folders:
            text = f"{id_}: both the folder '{number}' and the package '{entry.path}': remove one"
            looks[number] = _bad(id_, text, read)
        else:
            looks[number] = look_at_package(folder / entry.path, entry, id_, read, cache)
    return looks


def _mark(manifest: Entry | None, more: str = "") -> str:
    """Changes whenever the manifest's file does, or more: an error, a package."""
    return fingerprint((manifest,) if manifest else (), more.encode())


def _look_at_version(
    folder: Path, id_: ServableId, read: ReadManifest, *, is_loose: bool
) -> VersionLook | None:
    """Look at one version's folder, or at a model's with a loose artifact; None: it went away."""
    try:
        tree = walk(folder)
    except FileNotFoundError:
        return None
    except LoadFailed as err:
        return _bad(id_, f"{id_}: {err.message}", read)
    except OSError as err:
        return _bad(id_, f"{id_} cannot be read: {err.strerror or err}", read)
    if is_loose:
        tree = Tree(tuple(e for e in tree.entries if e.path != MANIFEST_NAME), tree.newest_ns)
    return _version(folder, id_, tree, read, read.manifest.entry)


def _version(
    root: Path, id_: ServableId, tree: Tree, read: ReadManifest, entry: str | None
) -> VersionLook:
    """The version that a folder's files make."""
    revision = fingerprint(tree.entries, read.content)
    spare = {warmup.file for warmup in read.manifest.warmup or ()}
    files = [e.path for e in tree.entries if e.kind == "file" and e.path not in spare]
    chosen = choose_artifact(files, entry=entry, runtime=read.manifest.runtime)
    if isinstance(chosen, str):
        broken = [e.path for e in tree.entries if e.kind == "broken"]
        note = f"; broken links: {', '.join(broken[:8])}" if broken else ""
        return VersionLook(
            BadArtifact(id_, revision, LoadFailed(f"{id_}: {chosen}{note}")), tree.newest_ns
        )
    root = root.absolute()
    return VersionLook(
        ArtifactRef(
            id=id_,
            path=root / chosen.path,
            root=root,
            runtime=chosen.runtime,
            class_name=chosen.class_name,
            manifest=read.manifest,
            num_bytes=sum(e.size_bytes for e in tree.entries),
            revision=revision,
        ),
        tree.newest_ns,
    )


def _bad(id_: ServableId, text: str, read: ReadManifest) -> VersionLook:
    revision = fingerprint((), text.encode() + b"\0" + read.content)
    return VersionLook(BadArtifact(id_, revision, LoadFailed(text)), 0)


def _misplaced(
    path: str, name: str, entries: Sequence[Entry], present: frozenset[int]
) -> PenstockError | None:
    """Why a folder is not a model; None: it is one, or an empty one."""
    if not is_model_name(name):
        return ConfigError(
            f"{path}: {name!r} cannot be a model's name: rename the folder, "
            "using letters, digits, '_', '.' and '-'"
        )
    others = _contents(entries)
    if present or not others:
        return None
    return ConfigError(
        f"{path}: no version: expected a folder named by a whole number, such as '1', a package "
        f"such as '1.pst', or an artifact; found: {', '.join(others[:8])} "
        "(a folder that is no model may start with '_')"
    )


def _contents(entries: Sequence[Entry]) -> list[str]:
    """The names in a model's folder that somebody put there for the model's sake."""
    names = (entry.path for entry in entries)
    return [n for n in names if n != MANIFEST_NAME and not (is_transient(n) or is_skipped(n))]


def _unreadable(path: str, err: OSError) -> LoadFailed:
    return LoadFailed(f"{path}: cannot be read: {err.strerror or err}")
