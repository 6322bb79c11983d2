"""Image files: a row for each, as its bytes or as pixels."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pyarrow as pa

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.source import BadRow, ReadRows
from penstock.jobs.batch.sources.file_source import ColumnSource, explained
from penstock.jobs.batch.sources.input_file import InputFile
from penstock.jobs.batch.sources.pieces import pieces
from penstock.jobs.batch.sources.record_blocks import read_fully
from penstock.jobs.batch.sources.sift import bad_row
from penstock.jobs.batch.spec_inputs import ImagesInput
from penstock.jobs.batch.split import Split

_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_MAX_PIXELS = 64 * 1024 * 1024
"""Of one picture, before it is made smaller: a small file can hold a picture beyond any memory."""

_RUN_ROWS = 64


class ImagesSource(ColumnSource):
    """Reads images; a split is a range of the list of files, which stays sorted by path.

    A file that is no picture is a bad row, where pixels are asked for.

    Args:
        spec: which files, and what of them.
        split_rows: how many make a split.

    Raises:
        ConfigError: one of height and width is missing, or Pillow is.
    """

    def __init__(self, spec: ImagesInput, split_rows: int) -> None:
        super().__init__(spec.path, split_rows)
        if (spec.height is None) != (spec.width is None):
            raise ConfigError("input: height and width: expected both, or neither")
        self._spec = spec
        self._decode = None if spec.height is None else _decoder(spec)
        self._listed: tuple[InputFile, ...] | None = None

    def plan(self) -> Iterator[Split]:
        """Ranges of the files that are there now; see ``BatchSource``."""
        self._listed = self._images()
        for start in range(0, len(self._listed), self._split_rows):
            stop = min(start + self._split_rows, len(self._listed))
            mark = _mark(self._listed[start:stop])
            yield Split(str(self._files), mark, start, stop)

    def read(self, split: Split, max_rows: int, max_bytes: int) -> Iterator[ReadRows]:
        """The images of a split; see ``BatchSource``."""
        listed = self._listed if self._listed is not None else self._images()
        self._listed = listed
        files = listed[int(split.start) : None if split.stop is None else int(split.stop)]
        if _mark(files) != split.fingerprint:
            raise JobInputError(f"{split}: files came, went or changed since it was planned")
        yield from pieces(self._runs(files, max_bytes), max_rows, max_bytes)

    def _whole_schema(self) -> pa.Schema:
        kind = pa.binary()
        if self._spec.height is not None and self._spec.width is not None:
            size = (self._spec.height, self._spec.width)
            shape = (*size, 3) if self._spec.layout == "hwc" else (3, *size)
            kind = pa.fixed_shape_tensor(pa.uint8(), shape)
        return pa.schema([("path", pa.string()), ("image", kind)])

    def _images(self) -> tuple[InputFile, ...]:
        named = frozenset(self._files.paths)
        return tuple(
            file
            for file in self._files.list()
            if file.source in named or file.source.lower().endswith(_ENDINGS)
        )

    def _runs(self, files: tuple[InputFile, ...], max_bytes: int) -> Iterator[ReadRows]:
        """Images in runs of at most 64, of about so many bytes."""
        good: list[tuple[str, bytes]] = []
        bad: list[BadRow] = []
        first = size = 0
        for row, file in enumerate(files):
            content = self._content(file)
            try:
                good.append((file.source, self._image(file, content)))
                size += len(good[-1][1])
            except _NoPicture as err:
                bad.append(bad_row(row, err, content))
            if row + 1 - first == _RUN_ROWS or size >= max_bytes:
                yield ReadRows(first, self._batch(good), bad)
                good, bad, first, size = [], [], row + 1, 0
        yield ReadRows(first, self._batch(good), bad)

    def _content(self, file: InputFile) -> bytes:
        """The file's bytes; of one that is too long, or not asked for, none.

        Raises:
            JobInputError: it is another one than was planned, or cannot be read.
        """
        if "image" not in self.schema().names or file.size_bytes > self._spec.max_row_bytes:
            return b""
        with explained(file.source), closing(self._files.open(file)) as opened:
            content = read_fully(opened, file.size_bytes)
        if self._files.look(file.source) != file or len(content) != file.size_bytes:
            raise JobInputError(f"{file.source}: was changed since it was planned")
        return content

    def _image(self, file: InputFile, content: bytes) -> bytes:
        if file.size_bytes > self._spec.max_row_bytes:
            limit = f"{self._spec.max_row_bytes} bytes (max_row_bytes)"
            raise _NoPicture(f"{file.source}: is longer than {limit}")
        if self._decode is None or "image" not in self.schema().names:
            return content
        try:
            return self._decode(content)
        except _NoPicture as err:
            raise _NoPicture(f"{file.source}: {err}") from err

    def _batch(self, images: list[tuple[str, bytes]]) -> pa.RecordBatch:
        schema = self.schema()
        contents = [content for _, content in images]
        columns = {"path": lambda: pa.array([path for path, _ in images], pa.string())}
        if self._spec.height is None:
            columns["image"] = lambda: pa.array(contents, pa.binary())
        else:
            columns["image"] = lambda: _pixels(contents, schema.field("image").type)
        arrays = [columns[name]() for name in schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


class _NoPicture(ValueError):
    """What a file holds is no picture that can be decoded."""


def _pixels(contents: list[bytes], kind: pa.FixedShapeTensorType) -> pa.Array:
    storage = kind.storage_type
    numbers = pa.Array.from_buffers(
        pa.uint8(), len(contents) * storage.list_size, [None, pa.py_buffer(b"".join(contents))]
    )
    rows = pa.FixedSizeListArray.from_arrays(numbers, type=storage)
    return pa.ExtensionArray.from_storage(kind, rows)


def _mark(files: tuple[InputFile, ...]) -> str:
    """What tells whether these are still the files that were planned."""
    told = "\n".join(f"{file.source} {file.fingerprint}" for file in files)
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _decoder(spec: ImagesInput) -> Callable[[bytes], bytes]:
    """What makes pixels of a file's bytes.

    Raises:
        ConfigError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError as err:
        install = "pip install 'penstock[image]'"
        raise ConfigError(f"input: pixels of images need Pillow: {install}") from err
    size = (spec.width, spec.height)
    unreadable = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)

    def decode(content: bytes) -> bytes:
        try:
            with Image.open(io.BytesIO(content)) as opened:
                if opened.width * opened.height > _MAX_PIXELS:
                    raise _NoPicture(f"has more than {_MAX_PIXELS} pixels")
                upright = ImageOps.exif_transpose(opened).convert("RGB").resize(size)
        except unreadable as err:
            raise _NoPicture(f"no picture: {err}") from err
        pixels = np.asarray(upright)
        return (pixels if spec.layout == "hwc" else pixels.transpose(2, 0, 1)).tobytes()

    return decode
