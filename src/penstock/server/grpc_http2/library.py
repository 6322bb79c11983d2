"""Library: libnghttp2, opened and set up for servers."""

from __future__ import annotations

import ctypes.util
import functools
from collections.abc import Iterable, Sequence
from typing import Any

from penstock.core.errors import ConfigError
from penstock.server.grpc_http2.limits import Http2Limits
from penstock.server.grpc_http2.nghttp2_declarations import ffi

HOW_TO_GET_IT = "install it with: apt install libnghttp2-14 (or: brew install libnghttp2)"

_NAMES = (
    "libnghttp2.so.14",
    "libnghttp2.14.dylib",
    "/opt/homebrew/lib/libnghttp2.14.dylib",
    "/usr/local/lib/libnghttp2.14.dylib",
)
_LEAST_VERSION = 0x012900
"""1.41: what came before may be kept busy with SETTINGS (CVE-2020-11080)."""
_NO_COPY = 0x02 | 0x04

Pairs = Sequence[tuple[bytes, bytes]]


class Headers:
    """Header fields as libnghttp2 takes them.

    Attributes:
        array: the ``nghttp2_nv`` array; its bytes live as long as this object.
        count: how many.
    """

    __slots__ = ("_kept", "array", "count")

    def __init__(self, pairs: Pairs, *, is_lasting: bool = False) -> None:
        """Prepare fields.

        Args:
            pairs: names in lower case, and values.
            is_lasting: whether this object outlives every use, so that nothing is copied.
        """
        self.count = len(pairs)
        self.array = ffi.new("nghttp2_nv[]", len(pairs))
        self._kept: list[Any] = []
        for field, pair in zip(self.array, pairs, strict=True):
            name, value = (ffi.from_buffer("char[]", part) for part in pair)
            self._kept += (name, value)
            field.name, field.value = name, value
            field.namelen, field.valuelen = len(pair[0]), len(pair[1])
            field.flags = _NO_COPY if is_lasting else 0


class Library:
    """libnghttp2 as opened.

    Attributes:
        lib: its functions.
        version: as ``1.52.0``.
    """

    def __init__(self, lib: Any, version: str) -> None:
        self.lib = lib
        self.version = version

    def make_options(self, limits: Http2Limits) -> Any:
        """What sessions are made with; to be freed with ``nghttp2_option_del``.

        Flow control is ours; most floods are the library's to end.
        """
        lib = self.lib
        place = ffi.new("nghttp2_option **")
        lib.nghttp2_option_new(place)
        options = place[0]
        lib.nghttp2_option_set_no_auto_window_update(options, 1)
        lib.nghttp2_option_set_no_closed_streams(options, 1)
        lib.nghttp2_option_set_max_settings(options, limits.max_settings)
        lib.nghttp2_option_set_max_outbound_ack(options, limits.max_unsent_acks)
        resets = (limits.reset_burst, limits.resets_per_s)
        self._set_if_there("nghttp2_option_set_stream_reset_rate_limit", options, *resets)
        return options

    def _set_if_there(self, name: str, *args: Any) -> None:
        """Set an option that older versions lack."""
        try:
            function = getattr(self.lib, name)
        except AttributeError:
            return
        function(*args)


@functools.cache
def find_library() -> Library | None:
    """Open libnghttp2; None: there is none, or none that is new enough."""
    for name in _candidates():
        try:
            lib: Any = ffi.dlopen(name)
        except OSError:
            continue
        info = lib.nghttp2_version(_LEAST_VERSION)
        if info != ffi.NULL:
            return Library(lib, ffi.string(info.version_str).decode())
    return None


def require_library() -> Library:
    """Open libnghttp2.

    Raises:
        ConfigError: there is none; says how to get it.
    """
    library = find_library()
    if library is None:
        raise ConfigError(f"grpc.engine: nghttp2 needs libnghttp2 1.41 or newer; {HOW_TO_GET_IT}")
    return library


def _candidates() -> Iterable[str]:
    yield from _NAMES
    found = ctypes.util.find_library("nghttp2")
    if found is not None:
        yield found
