"""Redis Streams as a source and a sink: what STREAM.yaml says of them. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from penstock.stores.store_url import without_password

_Name = Annotated[str, msgspec.Meta(min_length=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class _Redis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream of a server.

    Attributes:
        url: ``redis://[user:password@]host[:port][/db]``, ``rediss://...`` or ``unix://...``.
        stream: the stream's key.
        field: the field of an entry that holds the value; the others are headers, ``key`` is the
            key.
    """

    url: str = "redis://127.0.0.1:6379/0"
    stream: _Name
    field: _Name = "value"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({without_password(self.url)!r}, {self.stream!r})"

    def __str__(self) -> str:
        """Which stream, for people."""
        return f"'{self.stream}' at {without_password(self.url)}"


class RedisInput(_Redis, frozen=True, kw_only=True, tag_field="broker", tag="redis"):
    """A stream, read as a consumer of a group.

    Attributes:
        url, stream, field: see above.
        group: the group; it is made if it is not there.
        start: where a group begins that is made.
        min_idle_s: after so long without a sign of life of its consumer an entry is claimed by
            another one.
    """

    group: _Name
    start: Literal["earliest", "latest"] = "earliest"
    min_idle_s: _Seconds = 30.0


class RedisOutput(_Redis, frozen=True, kw_only=True, tag_field="broker", tag="redis"):
    """A stream that results are added to.

    Attributes:
        url, stream, field: see above.
        window_s: for so long the ids of results are kept, so that what comes again is not added
            again.
        max_len: about how long the stream may get, the oldest entries go first; 0: any length.
    """

    window_s: _Seconds = 600.0
    max_len: Annotated[int, msgspec.Meta(ge=0)] = 0
