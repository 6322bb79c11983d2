"""StoreUrl: which store, where, and how, in one line of text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from penstock.core.errors import ConfigError

_OPTIONS: Mapping[str, frozenset[str]] = {
    "memory": frozenset({"max_bytes"}),
    "sqlite": frozenset({"max_bytes"}),
    "redis": frozenset({"max_connections"}),
    "rediss": frozenset({"max_connections"}),
    "unix": frozenset({"db", "max_connections"}),
}
"""What may stand behind the ``?`` of each scheme."""


class StoreUrl(msgspec.Struct, frozen=True):
    """A store's address, taken apart and checked.

    Attributes:
        scheme: ``memory``, ``sqlite``, ``redis``, ``rediss`` or ``unix``.
        host: the server's name; "" where there is none.
        port: its port.
        path: the file of SQLite, the socket of ``unix``.
        db: the number of the Redis database.
        username, password: of Redis; "": none.
        options: what stood behind the ``?``.
    """

    scheme: str
    host: str = ""
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = ""
    options: dict[str, str] = {}

    def __str__(self) -> str:
        """The address as logs and errors may show it: never a password."""
        if self.scheme == "memory":
            return "memory://"
        if self.scheme == "sqlite":
            return f"sqlite:///{self.path}"
        if self.scheme == "unix":
            return f"unix://{self.path}?db={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/{self.db}"

    __repr__ = __str__

    def count(self, name: str, default: int) -> int:
        """An option that is a number of things.

        Raises:
            ConfigError: it is none from 1 to 10000.
        """
        text = self.options.get(name, str(default))
        if not (text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= 10_000):
            raise ConfigError(f"store URL: {name} must be a number from 1 to 10000, got {text!r}")
        return int(text)


def without_password(text: str) -> str:
    """A URL as it may be shown, whether it can be read or not: ``***`` for user and password."""
    return re.sub(r"(?<=://).*(?=@)", "***", text, flags=re.DOTALL)


def parse_store_url(url: str) -> StoreUrl:
    """Take a store's URL apart.

    Args:
        url: ``memory://?max_bytes=256MiB``, ``sqlite:///relative/file.db``,
            ``sqlite:////absolute/file.db``, ``redis://[user:password@]host[:port][/db]``,
            ``rediss://...`` (TLS) or ``unix://[user:password@]/path/to/socket[?db=0]``.

    Raises:
        ConfigError: names the part that is wrong, and never a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text may hold a part of the password
        raise ConfigError(
            "store URL: the host or the port is wrong: expected host:port; in a password, '/', '?' "
            "and '#' are written %2F, %3F and %23"
        ) from None
    scheme = parts.scheme
    if scheme not in _OPTIONS:
        known = ", ".join(f"{name}://" for name in _OPTIONS)
        raise ConfigError(f"store URL: the scheme must be one of {known}, got {scheme[:20]!r}")
    if parts.fragment:
        raise ConfigError("store URL: '#' has no meaning here; write %23 in a name or a password")
    is_redis = scheme not in ("memory", "sqlite")
    at_in_tail = is_redis and "@" in parts.path + parts.query  # perhaps of a password: not shown
    _refuse(at_in_tail, "'@' behind the host; write %40 there, and / ? in a password as %2F %3F")
    options = _options(scheme, parts.query)
    if scheme == "memory":
        _refuse(bool(parts.netloc or parts.path.strip("/")), "memory:// takes no host and no path")
        return StoreUrl(scheme, options=options)
    if scheme == "sqlite":
        return StoreUrl(scheme, path=_sqlite_path(parts), options=options)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if scheme == "unix":
        _refuse(bool(parts.hostname), "unix:// takes a path and no host: unix:///path/to/socket")
        _refuse(len(parts.path) < 2, "unix:// needs the path of a socket: unix:///path/to/socket")
        db = _db(options.get("db", ""))
        path = unquote(parts.path)
        return StoreUrl(scheme, path=path, db=db, username=user, password=password, options=options)
    _refuse(not parts.hostname, f"{scheme}:// needs a host: {scheme}://host:6379/0")
    return StoreUrl(
        scheme,
        host=parts.hostname or "",
        port=6379 if port is None else port,
        db=_db(parts.path.removeprefix("/")),
        username=user,
        password=password,
        options=options,
    )


def _options(scheme: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as err:
        raise ConfigError("store URL: expected name=value behind the '?'") from err
    options: dict[str, str] = {}
    for name, value in pairs:
        if name not in _OPTIONS[scheme]:
            known = ", ".join(sorted(_OPTIONS[scheme]))
            raise ConfigError(
                f"store URL: {scheme}:// has no option {name[:40]!r}, expected one of: {known}"
            )
        if name in options:
            raise ConfigError(f"store URL: the option {name!r} stands there twice")
        options[name] = value
    return options


def _sqlite_path(parts: SplitResult) -> str:
    path = unquote(parts.path).removeprefix("/")
    where = "sqlite:// needs a file: sqlite:///relative/file.db or sqlite:////absolute/file.db"
    _refuse(bool(parts.netloc) or not path or path.endswith("/") or "\0" in path, where)
    folder = Path(path).parent
    _refuse(not folder.is_dir(), f"there is no folder '{folder}' for the file of sqlite://")
    return path


def _db(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise ConfigError(f"store URL: the database must be a number such as 0, got {text[:20]!r}")
    return int(text)


def _refuse(is_wrong: bool, text: str) -> None:
    if is_wrong:
        raise ConfigError(f"store URL: {text}")
