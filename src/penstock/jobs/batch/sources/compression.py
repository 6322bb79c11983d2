"""What packed files hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Mapping
from typing import Any, cast

import pyarrow as pa

_SUFFIXES: Mapping[str, str] = {
    ".gz": "gzip",
    ".gzip": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".lzma": "xz",
    ".zst": "zstd",
    ".zstd": "zstd",
}


def compression_of(source: str, told: str) -> str:
    """How a file is packed: ``none``, ``gzip``, ``bz2``, ``xz`` or ``zstd``.

    Args:
        source: its path or URL.
        told: what the job says; ``auto``: as its name ends.
    """
    if told != "auto":
        return told
    ending = source[source.rfind(".") :].lower() if "." in source else ""
    return _SUFFIXES.get(ending, "none")


def unpacked(file: io.BufferedIOBase, compression: str) -> io.BufferedIOBase:
    """A stream of what a file holds, unpacked as it is read; it cannot be sought in.

    Reading it raises OSError, EOFError or lzma.LZMAError where the file is cut or damaged.

    Args:
        file: at its start; whoever opened it closes it.
        compression: as ``compression_of`` tells.
    """
    return _OPENERS[compression](file) if compression != "none" else file


def _open_zstd(file: Any) -> io.BufferedIOBase:
    return cast(io.BufferedIOBase, pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))


_OPENERS: Mapping[str, Callable[[Any], io.BufferedIOBase]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    "bz2": lambda file: bz2.BZ2File(file, "rb"),
    "xz": lambda file: lzma.LZMAFile(file, "rb"),  # noqa: SIM115 - whoever reads closes
    "zstd": _open_zstd,
}
