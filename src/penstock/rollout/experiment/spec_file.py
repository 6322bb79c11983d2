"""Reads an ExperimentSpec from experiment.yaml, or from the JSON of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.repository.manifest_shape import check_shape
from penstock.repository.spec_file import read_fields, to_struct
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
    data = read_fields(content, source)
    check_shape(data, source, ExperimentSpec)
    return to_struct(data, ExperimentSpec, source)
