"""Layout: what a folder's names mean. Pure functions; nothing here touches a disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Literal

from penstock.repository.format import PREFERRED_NAMES, can_run, is_model_file, split_class
from penstock.repository.listing import Entry, is_transient
from penstock.repository.manifest import MANIFEST_NAME, Manifest
from penstock.repository.package_options import PACKAGE_ENDING

_VERSION = re.compile(r"0|[1-9][0-9]{0,17}")
_MODEL_NAME = re.compile(r"\w[\w.-]*")
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")
_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")


def is_skipped(name: str) -> bool:
    """Whether a folder of this name is neither a model nor a version, whatever is in it."""
    return is_transient(name) or name.startswith("_") or name == "lost+found"


def version_number(name: str) -> int | None:
    """The version a folder's name stands for; None: it is not a version.

    A version is a whole number >= 0 without leading zeros, at most 18 digits.
    """
    return int(name) if _VERSION.fullmatch(name) else None


def version_folders(entries: Sequence[Entry]) -> dict[int, str]:
    """The versions among a model folder's entries: number to name, ascending."""
    found = {version_number(e.path): e.path for e in entries if e.kind == "folder"}
    return {number: found[number] for number in sorted(n for n in found if n is not None)}


def version_packages(entries: Sequence[Entry]) -> dict[int, Entry]:
    """The versions that are packages among a model folder's entries, ascending: ``3.pst``."""
    files = (e for e in entries if e.kind == "file" and e.path.endswith(PACKAGE_ENDING))
    found = {version_number(e.path.removesuffix(PACKAGE_ENDING)): e for e in files}
    return {number: found[number] for number in sorted(n for n in found if n is not None)}


def model_folders(entries: Sequence[Entry]) -> list[str]:
    """The names of the model folders among a repository's entries."""
    return [e.path for e in entries if e.kind == "folder" and not is_skipped(e.path)]


def loose_artifacts(entries: Sequence[Entry]) -> list[str]:
    """Files directly in a folder that are models by their ending."""
    return [name for name in _files(entries) if is_model_file(name)]


def has_loose_artifact(entries: Sequence[Entry], manifest: Manifest) -> bool:
    """Whether a model's folder holds a model itself, by an ending or by what its manifest says.

    An ending that may be anything is a model's where ``runtime`` names one that runs it; what
    ``entry`` names is the model, whatever it is called and however deep it lies.
    """
    if loose_artifacts(entries):
        return True
    if manifest.entry is not None:
        first = PurePosixPath(split_class(manifest.entry)[0]).parts[0]
        return any(e.path == first and not is_skipped(first) for e in entries)
    spare = {MANIFEST_NAME, *(warmup.file for warmup in manifest.warmup or ())}
    return any(can_run(manifest.runtime, n) for n in _files(entries) if n not in spare)


def _files(entries: Sequence[Entry]) -> list[str]:
    files = (e.path for e in entries if e.kind in ("file", "broken"))
    return [name for name in files if not is_transient(name)]


def has_manifest(entries: Sequence[Entry]) -> bool:
    """Whether there is a ``model.yaml``."""
    return any(e.path == MANIFEST_NAME and e.kind != "folder" for e in entries)


def folder_kind(
    entries: Sequence[Entry], entries_of: Callable[[str], Sequence[Entry]]
) -> Literal["model", "repository"]:
    """Say whether a folder is one model or holds models.

    A manifest, a version (folder or package) or ``model.onnx`` / ``model.py`` make it a model.
    Otherwise a file that could be a model does, unless a folder inside is plainly a model. All
    else is a repository, which may be empty.

    Args:
        entries: what is directly in it.
        entries_of: what is directly in the folder of that name inside; only called in doubt.
    """
    loose = loose_artifacts(entries)
    if _is_plainly_model(entries) or any(name in PREFERRED_NAMES for name in loose):
        return "model"
    if not loose:
        return "repository"
    inside = model_folders(entries)
    return "repository" if any(_is_plainly_model(entries_of(n)) for n in inside) else "model"


def is_model_name(name: str) -> bool:
    """Whether a model may be called this: letters, digits, ``_``, ``.``, ``-``."""
    return _MODEL_NAME.fullmatch(name) is not None


def name_from_stem(stem: str) -> str:
    """A model's name from a file's: ``my model (1)`` becomes ``my-model-1``.

    Law: the result is a model name; a stem that is one is not changed.
    """
    return stem if is_model_name(stem) else _NOT_IN_NAMES.sub("-", stem).strip("-.") or "model"


def name_from_class(class_name: str) -> str:
    """A model's name from a class's, in kebab-case: ``MyModel`` becomes ``my-model``."""
    return _WORD_STARTS.sub("-", class_name).strip("-").lower() or "model"


def _is_plainly_model(entries: Sequence[Entry]) -> bool:
    return has_manifest(entries) or bool(version_folders(entries) or version_packages(entries))
