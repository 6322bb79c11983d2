"""SqlUrl: where a job's database is, with secrets from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from penstock.core.errors import ConfigError

_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SERVERS = MappingProxyType({"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mariadb": 3306})
_FILES = ("sqlite", "duckdb")


class SqlUrl(msgspec.Struct, frozen=True):
    """A database's address, taken apart.

    Attributes:
        scheme: ``postgresql``, ``mysql``, ``sqlite`` or ``duckdb``.
        host: the server's name; "": the file ``database`` is the database.
        port: its port.
        database: the database's name, or the file's path.
        username, password: who; "": what the driver knows by itself.
        options: what stands behind the ``?``.
        text: the whole URL, secrets included: for drivers.
    """

    scheme: str
    host: str
    port: int
    database: str
    username: str
    password: str
    options: dict[str, str]
    text: str

    def __str__(self) -> str:
        """The address as logs and errors may show it: never a user or a password."""
        if self.scheme in _FILES:
            return f"{self.scheme}:///{self.database}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/{self.database}"

    __repr__ = __str__

    def masked(self, text: str) -> str:
        """A text without the password, as it is and as URLs write it."""
        told = [self.options.get(name, "") for name in ("password", "sslpassword")]
        for secret in (self.password, urlsplit(self.text).password or "", *told):
            text = text.replace(secret, "***") if secret else text
        return text


def expand(text: str, environ: Mapping[str, str], field: str) -> str:
    """A text with each ``${NAME}`` replaced by what the environment says.

    Raises:
        ConfigError: it says nothing; the message names ``field`` and the variable.
    """
    for name in _NAME.findall(text):
        if name not in environ:
            raise ConfigError(f"{field}: the environment has no {name}; set it, or take it out")
    return _NAME.sub(lambda match: environ[match[1]], text)


def parse_sql_url(url: str, environ: Mapping[str, str] = os.environ) -> SqlUrl:
    """Take a database's URL apart.

    Args:
        url: ``postgresql://[user[:password]@]host[:5432]/database[?sslmode=...]``,
            ``mysql://...:3306/database`` (or ``mariadb://``), ``sqlite:///relative/file.db`` or
            ``duckdb:////absolute/file.duckdb``. ``${NAME}`` is what the environment says.
        environ: the environment.

    Raises:
        ConfigError: names the part that is wrong, and never a password.
    """
    text = expand(url, environ, "url")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # its text may hold a part of the password
        raise ConfigError(
            "url: the host or the port is wrong: expected one host:port; in a password, '/', '?', "
            "'#' and '@' are written %2F, %3F, %23 and %40"
        ) from None
    known = ", ".join(f"{name}://" for name in (*_SERVERS, *_FILES))
    _refuse(parts.scheme not in (*_SERVERS, *_FILES), f"the scheme must be one of {known}")
    _refuse("#" in text, "'#' has no meaning here; write %23 in a name or a password")
    scheme = {"postgres": "postgresql", "mariadb": "mysql"}.get(parts.scheme, parts.scheme)
    path = unquote(parts.path.removeprefix("/"))
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if scheme in _FILES:
        where = f"expected {scheme}:///relative/file or {scheme}:////absolute/file"
        _refuse(bool(parts.netloc) or not path or "\0" in path, where)
        _refuse(bool(options), f"{scheme}:// takes no options")
        return SqlUrl(scheme, "", 0, path, "", "", {}, text)
    return _server(scheme, parts, port, path, options)


def _server(
    scheme: str, parts: SplitResult, port: int | None, path: str, options: dict[str, str]
) -> SqlUrl:
    _refuse("@" in parts.path + parts.query, "'@' behind the host; write %40 there")
    host = parts.hostname or options.get("host", "")
    _refuse(not host or not path, f"expected {scheme}://host:{_SERVERS[scheme]}/database")
    if scheme == "mysql":
        unknown = sorted(set(options) - {"ssl_ca"})
        _refuse(bool(unknown), f"mysql:// has no option {''.join(unknown[:1])!r}; it has ssl_ca")
    return SqlUrl(
        scheme,
        host,
        port or _SERVERS[scheme],
        path,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        options,
        parts.geturl(),
    )


def _refuse(is_wrong: bool, text: str) -> None:
    if is_wrong:
        raise ConfigError(f"url: {text}")
