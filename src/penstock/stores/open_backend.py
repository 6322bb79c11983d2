"""open_backend: a URL becomes a Backend."""

from __future__ import annotations

from penstock.core.byte_size import ByteSize
from penstock.core.clock import Clock
from penstock.core.errors import ConfigError
from penstock.stores.backend import Backend
from penstock.stores.memory_backend import DEFAULT_MAX_BYTES, MemoryBackend
from penstock.stores.store_url import StoreUrl, parse_store_url


def open_backend(url: str, *, clock: Clock | None = None) -> Backend:
    """The store a URL names. Connects to nothing: a server may be absent now and come later.

    Args:
        url: see ``parse_store_url``.
        clock: the time; None: the machine's.

    Raises:
        ConfigError: the URL is wrong, or names a library that is not installed.

    Concurrency: on the event loop that will use it.
    """
    address = parse_store_url(url)
    if address.scheme == "memory":
        return MemoryBackend(_bytes(address, DEFAULT_MAX_BYTES), clock)
    if address.scheme == "sqlite":
        from penstock.stores.sqlite_backend import SqliteBackend

        return SqliteBackend(address.path, max_bytes=_bytes(address, 0), clock=clock)
    try:
        from penstock.stores.redis_backend import RedisBackend
    except ModuleNotFoundError as err:
        raise ConfigError(
            f"store URL: {address.scheme}:// needs the Redis client: pip install 'penstock[redis]'"
        ) from err
    return RedisBackend(address, max_connections=address.count("max_connections", 8))


def _bytes(address: StoreUrl, default: int) -> int:
    text = address.options.get("max_bytes")
    try:
        return default if text is None else ByteSize.parse(text)
    except ValueError as err:
        raise ConfigError(
            f"store URL: max_bytes must be a size such as 256MiB, got {text!r}"
        ) from err
