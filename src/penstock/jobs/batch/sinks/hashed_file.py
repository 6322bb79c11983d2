"""HashedFile: a file that is written from its start to its end, and knows its own digest."""

from __future__ import annotations

import hashlib
import io
from typing import IO, Any


class HashedFile(io.RawIOBase):
    """Passes on what is written, and hashes it. Closing it leaves the file below open.

    Args:
        file: takes the bytes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self._hash = hashlib.sha256()
        self._num_bytes = 0
        self._is_dropped = False

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Append bytes.

        Raises:
            OSError: as the file below says.
        """
        size = memoryview(data).nbytes
        if not self._is_dropped:
            self._file.write(data)
            self._hash.update(data)
            self._num_bytes += size
        return size

    def tell(self) -> int:
        """How many bytes were written."""
        return self._num_bytes

    def drop(self) -> None:
        """From now on, write nothing: who still holds this file may finish in peace."""
        self._is_dropped = True

    @property
    def digest(self) -> str:
        """sha256 (hex) of what was written."""
        return self._hash.hexdigest()
