"""Encodings of text: what is not UTF-8 is brought to it."""

from __future__ import annotations

import codecs
import io

from penstock.core.errors import ConfigError

_ASCII = bytes(range(128))
_LOST = "\N{REPLACEMENT CHARACTER}".encode()
_PIECE_BYTES = 256 * 1024


class Encoding:
    """An encoding of text, by its name in Python.

    Attributes:
        is_superset: whether ASCII bytes are themselves in it, so that lines can be told apart
            without decoding them.

    Args:
        name: as a job tells it.

    Raises:
        ConfigError: there is no such encoding.
    """

    def __init__(self, name: str) -> None:
        try:
            known = codecs.lookup(name)
            is_text = known._is_text_encoding
        except LookupError:
            is_text = False
        if not is_text:
            raise ConfigError(
                f"input: encoding: unknown, got {name!r}; expected one such as utf-8, latin-1, "
                "cp1252, utf-16 or shift_jis"
            )
        self._name = known.name.removesuffix("-sig")
        self._is_utf8 = self._name == "utf-8"
        self.is_superset = _is_superset(self._name)

    def to_utf8(self, data: bytes) -> bytes:
        """The same text in UTF-8.

        Args:
            data: as ``stream`` gives it.

        Raises:
            UnicodeError: it is not of this encoding.
        """
        if not self.is_superset:
            if _LOST in data:
                raise UnicodeError(f"not {self._name}")
            return data
        if not self._is_utf8:
            return data.decode(self._name).encode()
        if not data.isascii():
            data.decode()
        return data

    def stream(self, file: io.BufferedIOBase) -> io.BufferedIOBase:
        """A file's text as bytes of which a newline ends a line.

        It is UTF-8 where the encoding is no superset of ASCII; what cannot be decoded is U+FFFD.
        """
        if self.is_superset:
            return file
        return io.BufferedReader(_Transcoded(file, self._name), _PIECE_BYTES)


class _Transcoded(io.RawIOBase):
    """Reads text as UTF-8."""

    def __init__(self, file: io.BufferedIOBase, name: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(name)("replace")
        self._held = b""
        self._is_at_end = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill the buffer; see ``io.RawIOBase``."""
        while not self._held and not self._is_at_end:
            data = self._file.read(_PIECE_BYTES)
            self._is_at_end = not data
            text = self._decoder.decode(data, final=not data)
            self._held = text.encode()
        view = memoryview(buffer)  # type: ignore[arg-type]
        taken = self._held[: len(view)]
        view[: len(taken)] = taken
        self._held = self._held[len(taken) :]
        return len(taken)


def _is_superset(name: str) -> bool:
    try:
        return _ASCII.decode(name).encode() == _ASCII and _ASCII.decode().encode(name) == _ASCII
    except UnicodeError:
        return False
