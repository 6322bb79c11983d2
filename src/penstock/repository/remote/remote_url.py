"""RemoteUrl: where models are that are not on this machine, in one line of text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from penstock.core.errors import ConfigError
from penstock.repository.layout import name_from_stem, version_number

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HUB_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
_REGISTERED = re.compile(
    r"models:/{1,3}(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d{1,18}))"
)

OBJECT_SCHEMES = ("s3", "gs", "az")
"""Object stores that are read through fsspec."""


class RemoteUrl(msgspec.Struct, frozen=True):
    """Where models are, taken apart and checked.

    Attributes:
        scheme: ``s3``, ``gs``, ``az``, ``https``, ``http``, ``models`` or ``hf``.
        place: bucket and path; the whole address without fragment (HTTP); the registered
            model's name; ``owner/name`` (hub). May hold the secret of a signed address: never
            shown.
        choice: ``@alias`` or ``/version`` of a registered model; a hub's revision; "": none.
        sha256: the digest that the content must have, 64 hex digits; "": none is known.
        name: what a model at the very address is called.
        version: the version that the address is of, where it ends in a version's folder.
    """

    scheme: str
    place: str
    name: str
    choice: str = ""
    sha256: str = ""
    version: int | None = None

    @property
    def key(self) -> str:
        """Tells it from every other address; may hold secrets."""
        return f"{self.scheme} {self.place} {self.choice} {self.sha256}"

    @property
    def is_signed(self) -> bool:
        """Whether it may hold a secret, which is written nowhere."""
        return "?" in self.place

    def __str__(self) -> str:
        """The address as logs and errors may show it: no query, where signatures stand."""
        if self.scheme == "models":
            return f"models:/{self.place}{self.choice}"
        if self.scheme == "hf":
            return f"hf://{self.place}" + (f"@{self.choice}" if self.choice else "")
        if self.scheme in OBJECT_SCHEMES:
            return f"{self.scheme}://{self.place}"
        return self.place.partition("?")[0]

    __repr__ = __str__


def parse_remote_url(text: str) -> RemoteUrl:
    """Take a URL apart. Pure.

    Args:
        text: ``s3://bucket/path``, ``gs://bucket/path``, ``az://container/path``,
            ``https://host/model.onnx#sha256=...``, ``models:/name@alias``, ``models:/name/3`` or
            ``hf://owner/name@revision``.

    Raises:
        ConfigError: names the URL without its secrets, and what was expected.
    """
    scheme = text.partition(":")[0].lower()
    parse = _PARSERS.get(scheme)
    if parse is None:
        known = ", ".join(f"{name}:/" if name == "models" else f"{name}://" for name in _PARSERS)
        raise ConfigError(f"{scheme}://: models cannot be fetched from there; expected {known}")
    return parse(text)


def parse_hub_name(text: str) -> tuple[str, str | None] | None:
    """``owner/name@revision`` to its two parts; None: it is not of that form."""
    match = _HUB_NAME.fullmatch(text)
    return None if match is None else (match["name"], match["revision"])


def _object(text: str) -> RemoteUrl:
    parts = _split(text)
    path = parts.path.strip("/")
    shown = f"{parts.scheme}://{parts.netloc}/{path}"
    if not parts.netloc:
        raise ConfigError(f"{shown}: expected {parts.scheme}://bucket/path")
    if parts.query or parts.fragment:
        raise ConfigError(f"{shown}: '?' and '#' have no meaning in the address of an object store")
    if ".." in path.split("/"):
        raise ConfigError(f"{shown}: '..' has no meaning in the address of an object store")
    place = f"{parts.netloc}/{path}".rstrip("/")
    above, _, last = place.rpartition("/")
    version = version_number(last) if above else None
    return RemoteUrl(
        parts.scheme, place, _name(place if version is None else above), version=version
    )


def _http(text: str) -> RemoteUrl:
    parts = _split(text)
    shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
    name = unquote(parts.path.rpartition("/")[2])
    if not parts.hostname or not name or "/" in name or "\0" in name:
        raise ConfigError(f"{shown}: expected the address of one file: https://host/model.onnx")
    label, _, digest = parts.fragment.partition("=")
    digest = digest.strip().lower()
    if parts.fragment and (label != "sha256" or _SHA256.fullmatch(digest) is None):
        raise ConfigError(
            f"{shown}: behind '#', expected sha256= and 64 hex digits, which `sha256sum` prints"
        )
    place = parts._replace(fragment="").geturl()
    return RemoteUrl(parts.scheme, place, _name(name), sha256=digest)


def _registered(text: str) -> RemoteUrl:
    match = _REGISTERED.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text[:80]}: expected models:/name@alias or models:/name/version")
    name = unquote(match["name"])
    choice = f"@{match['alias']}" if match["alias"] else f"/{match['version']}"
    return RemoteUrl("models", name, name_from_stem(name), choice)


def _hub(text: str) -> RemoteUrl:
    found = parse_hub_name(text.partition("://")[2])
    if found is None:
        raise ConfigError(f"{text[:80]}: expected hf://owner/name@revision")
    name, revision = found
    return RemoteUrl("hf", name, name_from_stem(name.partition("/")[2]), revision or "")


_PARSERS: Mapping[str, Callable[[str], RemoteUrl]] = {
    **dict.fromkeys(OBJECT_SCHEMES, _object),
    "https": _http,
    "http": _http,
    "models": _registered,
    "hf": _hub,
}


def _split(text: str) -> SplitResult:
    """The parts of a URL.

    Raises:
        ConfigError: there are credentials in it, or it cannot be read.
    """
    scheme = text.partition(":")[0].lower()
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises where the port is none
    except ValueError:  # its text may hold a part of a password
        raise ConfigError(f"{scheme}://: the host or the port of this URL is wrong") from None
    if "@" in parts.netloc:
        host = parts.netloc.rpartition("@")[2]
        raise ConfigError(
            f"{scheme}://***@{host}{parts.path}: credentials do not belong in a URL, which ends up "
            "in logs; give them as the store's own tools take them (see docs/sources.md)"
        )
    return parts


def _name(place: str) -> str:
    """The model's name from the last part of its place, without the ending of a file."""
    last = place.rpartition("/")[2]
    stem, dot, ending = last.rpartition(".")
    return name_from_stem(stem if dot and stem and ending.isalnum() else last)
