"""ModelUnit: the files of a listing that belong together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from penstock.core.errors import LoadFailed
from penstock.repository.layout import (
    folder_kind,
    model_folders,
    version_folders,
    version_packages,
)
from penstock.repository.listing import Entry, is_transient
from penstock.repository.package_options import PACKAGE_ENDING
from penstock.repository.remote.remote_file import RemoteFile
from penstock.repository.remote.remote_url import RemoteUrl


class ModelUnit(msgspec.Struct, frozen=True):
    """What is brought here whole or not at all: a version, or a model's other files.

    Attributes:
        path: where it belongs, relative to a repository; "": a package that says so itself.
        model: the model it is of.
        version: its number; None: what stands beside the versions, such as ``model.yaml``.
        files: its files, their paths relative to ``path``; a package is one file and has "".
        is_folder: whether the folder is replaced as a whole; False: file by file.
    """

    path: str
    model: str
    version: int | None
    files: tuple[RemoteFile, ...]
    is_folder: bool = True


def find_units(url: RemoteUrl, files: Sequence[RemoteFile]) -> tuple[ModelUnit, ...]:
    """The units of a listing; what is no part of a model is left out.

    An address that is one model's becomes a folder of that name. Folders mean what they mean on
    a disk: the same functions decide (``layout``).

    Raises:
        LoadFailed: a file's name leads out of its folder.
    """
    for file in files:
        _check_path(url, file.path)
    kept = [file for file in files if not any(map(is_transient, file.path.split("/")))]
    if len(kept) == 1 and kept[0].path.endswith(PACKAGE_ENDING) and "/" not in kept[0].path:
        return (ModelUnit("", url.name, None, tuple(kept), is_folder=False),)
    entries = _entries(kept, "")
    if folder_kind(entries, lambda name: _entries(kept, f"{name}/")) == "model":
        return tuple(_of_model(url.name, kept, "", url.version))
    names = model_folders(entries)
    return tuple(unit for name in names for unit in _of_model(name, kept, f"{name}/"))


def is_package(unit: ModelUnit) -> bool:
    """Whether it is a package that says itself which model and version it is."""
    return not unit.path and not unit.is_folder


def is_in_way(old: ModelUnit, new: ModelUnit) -> bool:
    """Whether two units cannot be there together: a model's layout was changed."""
    outer, inner = f"{old.path}/", f"{new.path}/"
    return (old.is_folder and inner.startswith(outer)) or (
        new.is_folder and outer.startswith(inner)
    )


def _of_model(
    name: str, files: Sequence[RemoteFile], prefix: str, number: int | None = None
) -> Iterator[ModelUnit]:
    """One model's units.

    Args:
        name: the model's name.
        files: of the whole listing.
        prefix: what the paths of this model's files begin with.
        number: its version, where the address is that of a version.
    """
    entries = _entries(files, prefix)
    folders = {sub: number for number, sub in version_folders(entries).items()}
    packages = {entry.path: number for number, entry in version_packages(entries).items()}
    if not folders and not packages:
        place = name if number is None else f"{name}/{number}"
        yield ModelUnit(place, name, number or 1, _below(files, prefix))
        return
    for sub, version in folders.items():
        yield ModelUnit(f"{name}/{sub}", name, version, _below(files, f"{prefix}{sub}/"))
    for sub, version in packages.items():
        found = tuple(_moved(file, "") for file in files if file.path == prefix + sub)
        yield ModelUnit(f"{name}/{sub}", name, version, found, is_folder=False)
    versions = folders.keys() | packages.keys()
    rest = tuple(f for f in _below(files, prefix) if f.path.partition("/")[0] not in versions)
    if rest:
        yield ModelUnit(name, name, None, rest, is_folder=False)


def _below(files: Sequence[RemoteFile], prefix: str) -> tuple[RemoteFile, ...]:
    """The files of a folder, their paths relative to it."""
    inside = (file for file in files if file.path.startswith(prefix))
    return tuple(_moved(file, file.path.removeprefix(prefix)) for file in inside)


def _moved(file: RemoteFile, path: str) -> RemoteFile:
    return msgspec.structs.replace(file, path=path)


def _entries(files: Sequence[RemoteFile], prefix: str) -> tuple[Entry, ...]:
    """What a folder of that name would hold."""
    found: dict[str, Entry] = {}
    for file in files:
        if file.path.startswith(prefix):
            name, slash, _ = file.path.removeprefix(prefix).partition("/")
            found[name] = Entry(name, "folder" if slash else "file")
    return tuple(found[name] for name in sorted(found))


def _check_path(url: RemoteUrl, path: str) -> None:
    parts = path.split("/")
    if "\0" in path or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise LoadFailed(f"{url}: refuses a file whose name is no plain path: {path[:80]!r}")
