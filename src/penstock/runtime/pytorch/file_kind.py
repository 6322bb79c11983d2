"""What a PyTorch file is, told from its table of contents. Nothing in it is read or run."""

from __future__ import annotations

import enum
import zipfile
from collections.abc import Collection
from pathlib import Path

from penstock.core.errors import LoadFailed, may_pass
from penstock.core.ids import ServableId

_PICKLE_START = b"\x80"


class TorchFile(enum.Enum):
    """The kinds of files that PyTorch writes."""

    SCRIPT = "TorchScript"
    PROGRAM = "an exported program"
    NATIVE = "native code of AOTInductor"
    SAVED = "a file of torch.save"


def look(id: ServableId, path: Path) -> TorchFile:  # noqa: A002  # the field's name everywhere
    """The kind of a file.

    Raises:
        LoadFailed: it is not there, it is cut off, or PyTorch has not written it.
    """
    try:
        with path.open("rb") as file:
            start = file.read(2)
        if start[:1] == _PICKLE_START:
            return TorchFile.SAVED  # as PyTorch 1.5 and older wrote it
        with zipfile.ZipFile(path) as archive:
            if min((info.header_offset for info in archive.infolist()), default=0) > 0:
                raise zipfile.BadZipFile("the end of an archive that was inside another")
            kind = kind_of(archive.namelist())
    except zipfile.BadZipFile as err:
        what = "is cut off: copy it again" if start == b"PK" else "is no PyTorch file"
        raise LoadFailed(f"{id}: {path.name} {what}") from err
    except OSError as err:
        text = f"{id}: {path.name} cannot be read: {err.strerror}"
        raise LoadFailed(text, retryable=may_pass(err)) from err
    if kind is None:
        raise LoadFailed(f"{id}: {path.name} is an archive, but none that PyTorch writes")
    return kind


def kind_of(names: Collection[str]) -> TorchFile | None:
    """The kind of an archive that holds these names; None: not one of PyTorch's."""
    if any("data/aotinductor/" in name for name in names):
        return TorchFile.NATIVE
    ends = {name.rpartition("/")[2] for name in names}
    if ends & {"archive_format", "serialized_exported_program.json"}:
        return TorchFile.PROGRAM
    if "constants.pkl" in ends:
        return TorchFile.SCRIPT
    return TorchFile.SAVED if "data.pkl" in ends else None
