"""Files that users write (jobs, streams, rollouts, experiments, routes) as fields, as Structs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from penstock.core.errors import ConfigError
from penstock.repository.manifest_shape import decode_size, describe
from penstock.repository.manifest_yaml import parse_yaml

T = TypeVar("T", bound=msgspec.Struct)


def read_fields(content: bytes | Mapping[str, Any], source: str) -> dict[Any, Any]:
    """The fields of a file.

    Args:
        content: UTF-8 YAML, or the same as plain values.
        source: what errors call it, such as the file's path.

    Raises:
        ConfigError: not YAML, or no mapping.
    """
    data = parse_yaml(content, source) if isinstance(content, bytes) else dict(content)
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: $: expected a mapping, got {describe(data)}")
    return data


def to_struct(data: Mapping[Any, Any], kind: type[T], source: str) -> T:
    """Fields whose shape was checked as the Struct that they are of.

    Raises:
        ConfigError: a value is out of its range; its path comes first, as in our own messages.
    """
    try:
        return msgspec.convert(data, kind, dec_hook=decode_size)
    except msgspec.ValidationError as err:
        what, _, path = str(err).partition(" - at ")
        what = what[:1].lower() + what[1:]
        raise ConfigError(f"{source}: {path.strip('`') or '$'}: {what}") from err
