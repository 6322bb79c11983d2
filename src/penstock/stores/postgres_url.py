"""PostgresUrl: which PostgreSQL database, where, and how, in one line of text."""

from __future__ import annotations

import re
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import msgspec

from penstock.core.errors import ConfigError

SCHEMES = ("postgresql", "postgres")

_PORT = 5432
_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_OPTIONS = ("schema", "host", *_TLS)
_VALUES = MappingProxyType(
    {
        "schema": r"[a-z_][a-z0-9_]{0,62}",
        "host": r"/.+",
        "sslmode": "disable|allow|prefer|require|verify-ca|verify-full",
    }
)
_FORMS = MappingProxyType(
    {
        "schema": "small letters, digits and _",
        "host": "the folder of the server's socket",
        "sslmode": "one of disable, allow, prefer, require, verify-ca, verify-full",
    }
)


class PostgresUrl(msgspec.Struct, frozen=True):
    """A database's address, taken apart and checked.

    Attributes:
        host: the server's name, or the folder of its socket.
        port: its port.
        database: the database.
        username: who; "": what ``PGUSER`` says, or the user of this process.
        password: of that user; "": what ``PGPASSWORD`` or ``PGPASSFILE`` say.
        schema: where the tables are.
        tls: how the connection is encrypted, as libpq has it.
    """

    host: str
    port: int
    database: str
    username: str = ""
    password: str = ""
    schema: str = "penstock"
    tls: dict[str, str] = {}

    def __str__(self) -> str:
        """The address as logs and errors may show it: never a password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{host}:{self.port}/{self.database}"

    __repr__ = __str__

    @property
    def dsn(self) -> str:
        """What a driver has to know beside the attributes."""
        return f"postgresql:///?{urlencode(self.tls)}"


def parse_postgres_url(url: str) -> PostgresUrl:
    """Take a database's URL apart.

    Args:
        url: ``postgresql://[user[:password]@]host[:5432]/database[?schema=penstock&sslmode=...]``,
            or with a Unix socket ``postgresql:///database?host=/run/postgresql``.

    Raises:
        ConfigError: names the part that is wrong, and never a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its text may hold a part of the password
        raise ConfigError(
            "store URL: the host or the port is wrong: expected one host:port; in a password, '/', "
            "'?' and '#' are written %2F, %3F and %23"
        ) from None
    _refuse("@" in parts.path + parts.query, "'@' behind the host; write %40 there")
    _refuse("#" in url, "'#' has no meaning here; write %23 in a name or a password")
    options = _options(parts.query)
    host = parts.hostname or options.get("host", "")
    _refuse(not host, "postgresql:// needs a host: postgresql://host:5432/database")
    _refuse(bool(parts.hostname) and "host" in options, "the host stands there twice")
    return PostgresUrl(
        host=host,
        port=_PORT if port is None else port,
        database=_database(parts),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        schema=options.get("schema", "penstock"),
        tls={name: options[name] for name in _TLS if name in options},
    )


def _database(parts: SplitResult) -> str:
    name = unquote(parts.path.removeprefix("/"))
    is_wrong = not name or "/" in name or "\0" in name
    _refuse(is_wrong, "postgresql:// needs a database: postgresql://host:5432/database")
    return name


def _options(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise ConfigError("store URL: expected name=value behind the '?'") from None
    options: dict[str, str] = {}
    for name, value in pairs:
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise ConfigError(
                f"store URL: postgresql:// has no option {name[:40]!r}, expected one of: {known}"
            )
        _refuse(name in options, f"the option {name!r} stands there twice")
        if name in _VALUES and not re.fullmatch(_VALUES[name], value):
            raise ConfigError(f"store URL: {name} must be {_FORMS[name]}, got {value[:40]!r}")
        options[name] = value
    return options


def _refuse(is_wrong: bool, text: str) -> None:
    if is_wrong:
        raise ConfigError(f"store URL: {text}")
