"""BrokerUrl: where a message broker is and who asks, in one line of text. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

import msgspec

from penstock.core.errors import ConfigError

_PORTS: Final = MappingProxyType(
    {
        "kafka": 9092,
        "kafka+tls": 9093,
        "nats": 4222,
        "nats+tls": 4222,
        "amqp": 5672,
        "amqps": 5671,
    }
)
_VARIABLES: Final = MappingProxyType(
    {
        "kafka": "PENSTOCK_KAFKA",
        "kafka+tls": "PENSTOCK_KAFKA",
        "nats": "PENSTOCK_NATS",
        "nats+tls": "PENSTOCK_NATS",
        "amqp": "PENSTOCK_RABBITMQ",
        "amqps": "PENSTOCK_RABBITMQ",
    }
)
_HOST = re.compile(r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?")


class BrokerUrl(msgspec.Struct, frozen=True):
    """A broker's address, taken apart and checked.

    Attributes:
        scheme: ``kafka``, ``nats``, ``amqp``, or one of them with TLS.
        hosts: ``host:port`` of each server that may be asked first; at least one.
        username: who; "": nobody says.
        password: of that user; "": there is none.
        path: what stands behind the hosts, without its ``/``: a virtual host of RabbitMQ.
    """

    scheme: str
    hosts: tuple[str, ...]
    username: str = ""
    password: str = ""
    path: str = ""

    def __str__(self) -> str:
        """The address as logs and errors may show it: neither user nor password."""
        return f"{self.scheme}://{','.join(self.hosts)}" + (f"/{self.path}" if self.path else "")

    __repr__ = __str__

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme.endswith("tls") or self.scheme == "amqps"


def parse_broker_url(
    url: str, schemes: tuple[str, ...], environ: Mapping[str, str], field: str = "url"
) -> BrokerUrl:
    """Take a broker's URL apart.

    Args:
        url: ``scheme://[user[:password]@]host[:port][,host[:port]...][/path]``; in a user or a
            password everything but letters and digits is best written as ``%40``.
        schemes: those that fit here.
        environ: where user and password stand that the URL does not tell, such as
            ``PENSTOCK_NATS_USERNAME`` and ``PENSTOCK_NATS_PASSWORD``.
        field: what errors call it.

    Raises:
        ConfigError: names the part that is wrong, and never a user or a password.
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in schemes:
        shown = repr(scheme[:20]) if mark else "none"
        expected = ", ".join(f"{one}://" for one in schemes)
        raise ConfigError(f"{field}: the scheme must be one of {expected}; got {shown}")
    authority, _, path = rest.partition("/")
    who, _, places = authority.rpartition("@")
    username, _, password = who.partition(":")
    variable = _VARIABLES[scheme]
    return BrokerUrl(
        scheme=scheme,
        hosts=tuple(_host(place, _PORTS[scheme], field) for place in places.split(",")),
        username=unquote(username) or environ.get(f"{variable}_USERNAME", ""),
        password=unquote(password) or environ.get(f"{variable}_PASSWORD", ""),
        path=unquote(path),
    )


def _host(text: str, port: int, field: str) -> str:
    found = _HOST.fullmatch(text)
    number = int(found["port"] or port) if found else 0
    if not found or not 0 < number < 65536:  # its text may hold a part of the password
        raise ConfigError(
            f"{field}: a host or a port is wrong: expected host:port, several with commas between; "
            "in a password, '@', '/' and ':' are written %40, %2F and %3A"
        )
    return f"{found['host']}:{number}"
