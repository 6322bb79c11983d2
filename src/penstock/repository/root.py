"""Root: one PATH of ``penstock serve PATH...`` and what is there."""

from __future__ import annotations

import difflib
import os
import re
import stat
from pathlib import Path

import msgspec

from penstock.core.errors import ConfigError
from penstock.repository.format import (
    HUB_FILE_NAME,
    RUNTIME_BY_ENDING,
    is_model_file,
    refuse_ending,
    split_class,
)
from penstock.repository.layout import (
    folder_kind,
    model_folders,
    name_from_class,
    name_from_stem,
)
from penstock.repository.listing import Entry, list_folder
from penstock.repository.manifest_cache import ManifestCache
from penstock.repository.model_folder import look_at_file, look_at_folder
from penstock.repository.model_look import ModelLook
from penstock.repository.package_options import PACKAGE_ENDING

_URL = re.compile(r"[a-z][a-z0-9+.-]+://|models:/", re.IGNORECASE)


class Root(msgspec.Struct, frozen=True):
    """Where to look.

    Attributes:
        path: a file or a folder, as the user wrote it.
        class_name: the class to serve of a Python file; None: the only one there is.
    """

    path: Path
    class_name: str | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.class_name}" if self.class_name else str(self.path)

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> Root:
        """Read ``models/``, ``model.onnx`` or ``app.py:MyModel``. Pure.

        Raises:
            ConfigError: the text is empty.
        """
        path, class_name = split_class(os.fspath(text))
        if not path:
            raise ConfigError("expected a path to a model or a folder of models, got empty text")
        return cls(Path(path), class_name)


def is_remote(text: str) -> bool:
    """Whether a PATH of ``penstock serve`` is a URL, and no path of this disk. Pure."""
    return _URL.match(text) is not None


class RootLook(msgspec.Struct, frozen=True):
    """What is at a root at this moment.

    Attributes:
        models: every model there.
        device: the file system it is on.
        inode: the identity of the folder or file on that file system.
        is_folder: whether it is a folder.
    """

    models: tuple[ModelLook, ...]
    device: int
    inode: int
    is_folder: bool


def look_at_root(root: Root, cache: ManifestCache) -> RootLook:
    """Look at everything at ``root``. Blocks.

    Raises:
        OSError: it is not there, or cannot be read.
        ConfigError: it is a file that is no model.
    """
    status = root.path.stat()
    is_folder = stat.S_ISDIR(status.st_mode)
    models = _folder(root.path, cache) if is_folder else (_file(root, cache),)
    if cache.packages.options.require_signed:
        from penstock.repository.signed_only import only_signed

        models = tuple(map(only_signed, models))
    return RootLook(models, status.st_dev, status.st_ino, is_folder)


def refuse_root(root: Root, err: OSError) -> ConfigError:
    """One clear line on why ``root`` cannot be served."""
    if not isinstance(err, FileNotFoundError):
        return ConfigError(f"{root.path}: cannot be read: {err.strerror or err}")
    try:
        names = os.listdir(root.path.parent)  # noqa: PTH208 - names, not paths
    except OSError:
        names = []
    match = difflib.get_close_matches(root.path.name, names, n=1)
    hint = f"; did you mean '{root.path.parent / match[0]}'?" if match else _hub_hint(root.path)
    return ConfigError(f"{root.path}: no such file or folder{hint}")


def _hub_hint(path: Path) -> str:
    """What to write for a model on a hub, where the path looks like one's name."""
    is_name = not path.is_absolute() and len(path.parts) == 2 and path.parts[0] != ".."
    if not is_name or path.parent.exists() or is_model_file(path.name):
        return ""
    return (
        f"; a model on the Hugging Face hub is served as 'hf://{path}', or from a folder that "
        f"holds a file {HUB_FILE_NAME} with the line '{path}'"
    )


def _file(root: Root, cache: ManifestCache) -> ModelLook:
    if root.path.suffix == PACKAGE_ENDING:
        from penstock.repository.package_look import look_at_package_file

        return look_at_package_file(root.path, cache)
    if root.path.suffix.lower() not in RUNTIME_BY_ENDING:
        raise ConfigError(f"{root.path}: {refuse_ending(root.path.name)}")
    name = name_from_class(root.class_name) if root.class_name else name_from_stem(root.path.stem)
    return look_at_file(root.path, name, root.class_name)


def _folder(folder: Path, cache: ManifestCache) -> tuple[ModelLook, ...]:
    entries = list_folder(folder)
    if folder_kind(entries, lambda name: _list_if_readable(folder / name)) == "model":
        looks = [look_at_folder(folder, name_from_stem(_last_name(folder)), cache)]
    else:
        looks = [look_at_folder(folder / name, name, cache) for name in model_folders(entries)]
    return tuple(look for look in looks if look is not None)


def _last_name(folder: Path) -> str:
    """The folder's own name, also of ``.`` and ``..``; links keep theirs."""
    return os.path.basename(os.path.abspath(folder))  # noqa: PTH100, PTH119 - must not follow links


def _list_if_readable(folder: Path) -> tuple[Entry, ...]:
    try:
        return list_folder(folder)
    except OSError:
        return ()
