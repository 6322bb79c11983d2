"""Reads a RolloutSpec from rollout.yaml, or from the JSON of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from penstock.core.errors import ConfigError
from penstock.repository.manifest_shape import check_shape, describe, nearest
from penstock.repository.spec_file import read_fields, to_struct
from penstock.rollout.spec import Gate, RolloutSpec

GATES: Mapping[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(Gate)
}
"""The kinds of gates by what ``metric`` says."""


def read_spec(content: bytes | Mapping[str, Any], source: str) -> RolloutSpec:
    """Make a RolloutSpec of a file's bytes, or of values that were parsed already.

    Whether the plan can decide is another question: see ``feasibility.check``.

    Args:
        content: UTF-8 YAML, or the same as plain values.
        source: what errors call it, such as the file's path.

    Raises:
        ConfigError: not YAML, or an unknown or missing field, a wrong type or range. The message is
            ``source: $.path: what was expected, what came``.
    """
    data = read_fields(content, source)
    check_shape(_without_gates(data, source), source, RolloutSpec)
    return to_struct(data, RolloutSpec, source)


def _without_gates(data: dict[Any, Any], source: str) -> dict[Any, Any]:
    """The plan without its gates, which are checked here: a gate's fields depend on ``metric``."""
    rest = {name: value for name, value in data.items() if name != "gates"}
    _check_gates(data, source, "$")
    shadow = data.get("shadow")
    if isinstance(shadow, dict):
        _check_gates(shadow, source, "$.shadow")
        rest["shadow"] = {name: value for name, value in shadow.items() if name != "gates"}
    return rest


def _check_gates(holder: dict[Any, Any], source: str, path: str) -> None:
    if "gates" not in holder:
        return
    gates, path = holder["gates"], f"{path}.gates"
    if not isinstance(gates, list | tuple):
        raise ConfigError(f"{source}: {path}: expected a list, got {describe(gates)}")
    for position, gate in enumerate(gates):
        _check_gate(gate, source, f"{path}[{position}]")


def _check_gate(gate: object, source: str, path: str) -> None:
    if not isinstance(gate, dict):
        raise ConfigError(f"{source}: {path}: expected a mapping, got {describe(gate)}")
    if "metric" not in gate:
        kinds = ", ".join(GATES)
        raise ConfigError(f"{source}: {path}.metric: missing, expected one of: {kinds}")
    metric = gate["metric"]
    if not isinstance(metric, str) or metric not in GATES:
        hint = nearest(str(metric), GATES)
        raise ConfigError(f"{source}: {path}.metric: unknown, got {describe(metric)}; {hint}")
    fields = {name: value for name, value in gate.items() if name != "metric"}
    check_shape(fields, source, GATES[metric], path)
