"""Which paths a package may hold: the law that nothing in it leads out of its folder. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

MAX_PATH_BYTES = 1024
MAX_PART_BYTES = 255

MANIFEST_MEMBER = "penstock.json"
SEAL_MEMBER = "penstock.seal"
RESERVED = frozenset({MANIFEST_MEMBER, SEAL_MEMBER})
"""The package's own members; a model's file may not be called so."""

_FORBIDDEN = frozenset('\\:*?"<>|')


def refuse_path(path: str) -> str | None:
    """Why a package may not hold a file of this path; None: it may.

    Law: for a path that may be held and any folder, ``folder / path`` lies in that folder, on
    every operating system, and its parts are those of the text split at slashes.

    Args:
        path: relative to the version's folder, with slashes.
    """
    if not path or path.startswith("/"):
        return "expected a relative path"
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if len(encoded) > MAX_PATH_BYTES:
        return f"longer than {MAX_PATH_BYTES} bytes"
    if any(char in _FORBIDDEN or unicodedata.category(char) in ("Cc", "Cs") for char in path):
        return "holds a character that not every file system can have in a name"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"holds the part {part!r}, which is no name"
        if len(part.encode()) > MAX_PART_BYTES:
            return f"holds a name longer than {MAX_PART_BYTES} bytes"
    return "the name is the package's own" if path in RESERVED else None


def refuse_paths(paths: Iterable[str]) -> str | None:
    """Why a package may not hold these files together; None: it may.

    Law: on a file system that knows no upper and lower case and keeps names in one normal form,
    no file takes the place of another, and none stands where another needs a folder.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        why = refuse_path(path)
        if why is not None:
            return f"{path[:200]!r}: {why}"
        key = _key(path)
        if key in files:
            return f"{path!r} and {files[key]!r} have one name where upper and lower case are equal"
        files[key] = path
        parts = key.split("/")
        folders |= {"/".join(parts[:depth]): path for depth in range(1, len(parts))}
    both = sorted(files.keys() & folders.keys())
    if both:
        return f"{files[both[0]]!r} is a file, and a folder of {folders[both[0]]!r}"
    return None


def _key(path: str) -> str:
    """What is equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
