"""PackedFolder: what of a folder goes into a package: what would be served, and no more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from penstock.core.errors import ConfigError
from penstock.core.ids import ServableId
from penstock.repository.format import Artifact, choose_artifact
from penstock.repository.layout import name_from_stem, version_folders, version_number
from penstock.repository.listing import list_folder, walk
from penstock.repository.manifest import MANIFEST_NAME, Manifest
from penstock.repository.manifest_file import read_manifest


class PackedFolder(msgspec.Struct, frozen=True):
    """One version's folder, looked at.

    Attributes:
        id: the version, as the folder's path tells it.
        sources: path inside the package to the file on disk.
        artifact: which of them is the model.
        manifest: its ``model.yaml``; the default one where there is none.
    """

    id: ServableId
    sources: Mapping[str, Path]
    artifact: Artifact
    manifest: Manifest


def look_at_version(folder: Path) -> PackedFolder:
    """See what of ``folder`` belongs to a package.

    The folder of a version (``fraud/3``) brings its model's ``model.yaml`` and the warm-up files
    that names, which lie above it. Any other folder is version 1 of a model of its name.
    Links are followed; hidden files, backups and copies under way stay out, as in serving.

    Raises:
        ConfigError: no such folder, several versions, no artifact, a broken link, a bad
            ``model.yaml``.

    Concurrency: blocks on the file system.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - must not follow links
    try:
        versions = version_folders(list_folder(folder))
        if versions:
            newest = folder / versions[max(versions)]
            raise ConfigError(f"{folder}: holds versions; pack one of them, such as {newest}")
        sources = _inside(folder)
    except OSError as err:
        raise ConfigError(f"{folder}: cannot be packed: {err.strerror or err}") from err
    number = version_number(folder.name)
    if number is not None and (folder.parent / MANIFEST_NAME).is_file():
        if MANIFEST_NAME in sources:
            raise ConfigError(f"{folder}: has a {MANIFEST_NAME} beside the one of its model")
        sources[MANIFEST_NAME] = folder.parent / MANIFEST_NAME
    manifest = read_manifest(sources[MANIFEST_NAME])[0] if MANIFEST_NAME in sources else Manifest()
    if number is not None:
        sources |= {path: file for path, file in _above(folder, manifest) if path not in sources}
    name = name_from_stem(folder.name if number is None else folder.parent.name)
    id_ = ServableId(name, 1 if number is None else number)
    files = [path for path in sources if path != MANIFEST_NAME]
    chosen = choose_artifact(files, entry=manifest.entry, runtime=manifest.runtime)
    if isinstance(chosen, str):
        raise ConfigError(f"{folder}: {chosen}")
    return PackedFolder(id_, sources, chosen, manifest)


def _inside(folder: Path) -> dict[str, Path]:
    """The files below a folder.

    Raises:
        OSError: something cannot be read.
        ConfigError: a broken link, or a thing that is no file.
    """
    sources = {}
    for entry in walk(folder).entries:
        if entry.kind != "file":
            what = "a broken link" if entry.kind == "broken" else "no regular file"
            raise ConfigError(f"{folder}: '{entry.path}' is {what}")
        sources[entry.path] = folder / entry.path
    return sources


def _above(folder: Path, manifest: Manifest) -> Iterator[tuple[str, Path]]:
    """Warm-up files in the model's folder."""
    for warmup in manifest.warmup or ():
        if (folder.parent / warmup.file).is_file():
            yield warmup.file, folder.parent / warmup.file
