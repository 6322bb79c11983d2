"""Reads a BatchSpec from job.yaml, or from the arguments of ``penstock.BatchJob``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.core.errors import ConfigError
from penstock.jobs.batch.schedule import Schedule
from penstock.jobs.batch.spec import INPUTS, OUTPUTS, BatchSpec, JobFields
from penstock.repository.manifest_shape import check_names, check_shape, describe, nearest
from penstock.repository.spec_file import read_fields, to_struct

_FORMATS: Mapping[str, Mapping[str, type[msgspec.Struct]]] = {"input": INPUTS, "output": OUTPUTS}


def load_spec(path: Path, overrides: Mapping[str, Any] | None = None) -> BatchSpec:
    """Read a job's file. Blocks.

    Args:
        path: the file.
        overrides: fields of the command line, which win over the file's.

    Raises:
        ConfigError: it cannot be read, or see ``read_spec``.
    """
    try:
        content = path.read_bytes()
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {(err.strerror or str(err)).lower()}") from err
    data = read_fields(content, str(path))
    spec = read_spec(data, str(path))
    return read_spec({**data, **overrides}, "command line") if overrides else spec


def read_spec(data: Mapping[str, Any], source: str) -> BatchSpec:
    """Make a BatchSpec of plain values.

    Args:
        data: fields and values; a ``model`` that is a text is its path.
        source: what errors call it.

    Raises:
        ConfigError: an unknown or missing field, a wrong type or range. The message is
            ``source: $.path: what was expected, what came``.
    """
    told = dict(data)
    if isinstance(told.get("model"), str):
        told["model"] = {"path": told["model"]}
    check_names(told, source, BatchSpec.__struct_fields__)
    for name, kinds in _FORMATS.items():
        _check_format(told, name, kinds, source)
    check_shape({k: v for k, v in told.items() if k not in _FORMATS}, source, JobFields)
    spec = to_struct(told, BatchSpec, source)
    spec.model.check(f"{source}: $.model")
    if spec.schedule is not None:
        Schedule(spec.schedule).check(f"{source}: $.schedule")
    return spec


def _check_format(
    data: Mapping[str, Any], name: str, kinds: Mapping[str, type[msgspec.Struct]], source: str
) -> None:
    """See that the input or the output fits the format that it says it is of."""
    where = f"{source}: $.{name}"
    if name not in data:
        raise ConfigError(f"{where}: missing")
    value = data[name]
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a mapping, got {describe(value)}")
    if "format" not in value:
        raise ConfigError(f"{where}.format: missing, expected one of: {', '.join(kinds)}")
    kind = value["format"]
    if not isinstance(kind, str) or kind not in kinds:
        hint = nearest(str(kind), kinds)
        known = "" if hint.startswith("expected") else f" (known: {', '.join(kinds)})"
        raise ConfigError(f"{where}.format: unknown, got {describe(kind)}; {hint}{known}")
    fields = {key: item for key, item in value.items() if key != "format"}
    check_shape(fields, source, kinds[kind], f"$.{name}")
