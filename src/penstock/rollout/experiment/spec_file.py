"""Reads an ExperimentSpec from experiment.yaml, or from the JSON of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.core.errors import ConfigError
from penstock.repository.manifest_shape import check_shape, describe
from penstock.repository.manifest_yaml import parse_yaml
from penstock.rollout.experiment.spec import ExperimentSpec


def read_experiment(content: bytes | Mapping[str, Any], source: str) -> ExperimentSpec:
    """Make an ExperimentSpec of a file's bytes, or of values that were parsed already.

    Whether its fields fit together is another question: see ``experiment_check``.

    Args:
        content: UTF-8 YAML, or the same as plain values.
        source: what errors call it, such as the file's path.

    Raises:
        ConfigError: not YAML, or an unknown or missing field, a wrong type or range. The message is
            ``source: $.path: what was expected, what came``.
    """
    data = parse_yaml(content, source) if isinstance(content, bytes) else dict(content)
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: $: expected a mapping, got {describe(data)}")
    check_shape(data, source, ExperimentSpec)
    try:
        return msgspec.convert(data, ExperimentSpec)
    except msgspec.ValidationError as err:
        what, _, path = str(err).partition(" - at ")
        what = what[:1].lower() + what[1:]
        raise ConfigError(f"{source}: {path.strip('`') or '$'}: {what}") from err
