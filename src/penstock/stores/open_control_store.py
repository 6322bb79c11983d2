"""open_control_store: a URL becomes a ControlStore."""

from __future__ import annotations

import difflib
from pathlib import Path
from urllib.parse import quote

from penstock.core.clock import Clock
from penstock.core.errors import ConfigError
from penstock.stores import postgres_url
from penstock.stores.control_store import ControlStore
from penstock.stores.store_url import StoreUrl, parse_store_url

_SCHEMES = ("sqlite", "redis", "rediss", "unix", *postgres_url.SCHEMES)
_EXPECTED = (
    "expected sqlite:///file.db, redis://host/0, rediss://host/0, unix:///path/to/socket or "
    "postgresql://host/database"
)


def open_control_store(
    url: str, *, is_new: bool = False, clock: Clock | None = None
) -> ControlStore:
    """The control store a URL names. Connects to nothing, and opens no file.

    Args:
        url: ``sqlite:///file.db`` for the processes of one machine; for many
            ``redis://``, ``rediss://`` and ``unix://``, see ``parse_store_url``, or
            ``postgresql://``, see ``parse_postgres_url``.
        is_new: whether the first call makes the store where there is none; False: that is an
            error.
        clock: whose wall clock goes for a file; None: the machine's. Servers have their own.

    Raises:
        ConfigError: the URL is wrong, or names a library that is not installed; its text holds no
            password.

    Concurrency: on the event loop that will use it.
    """
    scheme = _scheme(url)
    if scheme in postgres_url.SCHEMES:
        address = postgres_url.parse_postgres_url(url)
        try:
            from penstock.stores.postgres_control_store import PostgresControlStore
        except ModuleNotFoundError as err:
            raise _missing(scheme, "the PostgreSQL driver", "postgres") from err
        return PostgresControlStore(address, is_new=is_new)
    place = parse_store_url(url)
    if scheme == "sqlite":
        return _open_file(place, is_new, clock)
    try:
        from penstock.stores.redis_control_store import RedisControlStore
    except ModuleNotFoundError as err:
        raise _missing(scheme, "the Redis client", "redis") from err
    count = place.count("max_connections", 8)
    return RedisControlStore(place, is_new=is_new, max_connections=count)


def control_file_url(path: Path) -> str:
    """The URL of a file, whatever its name; relative ones are of the present working directory."""
    return f"sqlite:///{quote(str(path.absolute()))}"


def _scheme(url: str) -> str:
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in _SCHEMES:
        near = difflib.get_close_matches(scheme, _SCHEMES, n=1)
        hint = f", did you mean {near[0]}://?" if near else ""
        got = f"got {scheme[:20]!r}{hint}" if colon else "got no scheme"
        raise ConfigError(f"store URL: {_EXPECTED}; {got}")
    return scheme


def _open_file(place: StoreUrl, is_new: bool, clock: Clock | None) -> ControlStore:
    from penstock.stores.sqlite_control_store import SqliteControlStore

    if place.options:
        name = next(iter(place.options))
        raise ConfigError(f"store URL: a control store has no option {name!r}")
    return SqliteControlStore(Path(place.path), is_new=is_new, clock=clock)


def _missing(scheme: str, what: str, extra: str) -> ConfigError:
    return ConfigError(f"store URL: {scheme}:// needs {what}: pip install 'penstock[{extra}]'")
