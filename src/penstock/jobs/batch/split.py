"""Split: the part of an input that is read, predicted and written as one. Pure."""

from __future__ import annotations

import hashlib

import msgspec

_ID_DIGITS = 24


class Split(msgspec.Struct, frozen=True):
    """A range of one source, as it was planned.

    Attributes:
        source: what it is a part of: a file's path or URL as given, a table, a page.
        fingerprint: what tells that the source is still the one that was planned: its size and
            time, an ETag, a digest.
        start, stop: the range ``[start, stop)`` in the source's own unit (rows, bytes, keys,
            entries); stop None: to its end.
    """

    source: str
    fingerprint: str
    start: int | str = 0
    stop: int | str | None = None

    def __str__(self) -> str:
        if self.start == 0 and self.stop is None:
            return self.source
        return f"{self.source}[{self.start}:{'' if self.stop is None else self.stop}]"


def split_id(split: Split, model_digest: str, spec_digest: str) -> str:
    """What names a split's output: 24 hex digits of the sha256 of all that its bytes depend on.

    Args:
        split: the split.
        model_digest: of the model that answers.
        spec_digest: of those fields of the job that change what is written.
    """
    told = msgspec.json.encode([split, model_digest, spec_digest])
    return hashlib.sha256(told).hexdigest()[:_ID_DIGITS]
