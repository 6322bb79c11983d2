"""Read and check ``model.yaml``; apply a load request's overrides to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.core.errors import ConfigError
from penstock.repository.manifest import Manifest
from penstock.repository.manifest_rules import check_rules
from penstock.repository.manifest_shape import check_shape, describe, to_manifest
from penstock.repository.manifest_yaml import MAX_MANIFEST_BYTES, parse_yaml

_REPLACED_WHOLE = frozenset({"labels", "version_policy", "runtime_options"})


def read_manifest(path: Path, source: str | None = None) -> tuple[Manifest, bytes]:
    """Read a manifest file.

    Args:
        path: the file; must be a regular file.
        source: what errors call it; None: ``path`` as it is written.

    Returns:
        The manifest and the bytes it was read from.

    Raises:
        ConfigError: it cannot be read or is not right.

    Concurrency: blocks on the file system.
    """
    name = source or str(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as err:
        raise ConfigError(f"{name}: cannot be read: {err.strerror or err}") from err
    return parse_manifest(content, name), content


def parse_manifest(content: bytes, source: str) -> Manifest:
    """Make a Manifest of a model.yaml's bytes.

    Args:
        content: UTF-8 YAML; empty: all defaults.
        source: what errors call it.

    Raises:
        ConfigError: not YAML, or an unknown field, a wrong type or a broken rule. The message is
            ``source: $.path: what was expected, what came``.
    """
    data = parse_yaml(content, source)
    return _checked({} if data is None else data, source)


def apply_overrides(
    manifest: Manifest, overrides: Mapping[str, Any], source: str = "config"
) -> Manifest:
    """Lay the fields of a load request over a manifest.

    Mappings merge field by field, except ``labels``, ``version_policy`` and ``runtime_options``;
    those, and all lists and single values, are replaced.

    Law: ``apply_overrides(m, {}) == m``.

    Args:
        manifest: what the repository says.
        overrides: fields as model.yaml would write them.
        source: what errors call the overrides.

    Raises:
        ConfigError: as ``parse_manifest``; paths are those in ``overrides``.
    """
    if not isinstance(overrides, Mapping):
        raise ConfigError(f"{source}: $: expected a mapping, got {describe(overrides)}")
    check_shape(dict(overrides), source)
    current: dict[str, Any] = msgspec.to_builtins(manifest, enc_hook=int)
    return _checked(_merged(current, overrides), source)


def _checked(data: object, source: str) -> Manifest:
    check_shape(data, source)
    manifest = to_manifest(data)
    check_rules(manifest, source)
    return manifest


def _merged(current: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(current)
    for key, value in changes.items():
        old = current.get(key)
        is_merged = isinstance(old, dict) and isinstance(value, dict) and key not in _REPLACED_WHOLE
        result[key] = _merged(old, value) if is_merged and isinstance(old, dict) else value
    return result
