"""Scoring: what an adapter is told once, and carries to wherever its rows are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from penstock.core.errors import ConfigError
from penstock.jobs.model_ref import ModelRef

BATCH_ROWS = 1024
"""The most rows that a model is given at once, where nothing else is said."""


class Scoring(msgspec.Struct, frozen=True, kw_only=True):
    """Which model predicts which rows. Picklable.

    Attributes:
        model: which.
        columns: input to its column, or to columns side by side; by name where it says nothing.
        keep: columns that go along to the output.
        rename: output to the name that it is written under.
        binary: BYTES outputs that are no text.
        batch_rows: the most rows that the model is given at once.
    """

    model: ModelRef
    columns: Mapping[str, str | Sequence[str]] = {}
    keep: tuple[str, ...] = ()
    rename: Mapping[str, str] = {}
    binary: Collection[str] = ()
    batch_rows: int = BATCH_ROWS


def model_ref(model: ModelRef | Mapping[str, Any] | str) -> ModelRef:
    """A model as an adapter is told of it.

    Args:
        model: the fields of ``ModelRef``, as a job's file has them under ``model``; a text is its
            path. A relative path is one of this process's folder, wherever the model is loaded.

    Raises:
        ConfigError: a field is unknown, of another type, or missing.
    """
    if not isinstance(model, ModelRef):
        fields = {"path": model} if isinstance(model, str) else model
        try:
            model = msgspec.convert(fields, ModelRef)
        except msgspec.ValidationError as err:
            raise ConfigError(f"model: {err}") from err
    model.check("model")
    if model.path is None or "://" in model.path:
        return model
    return msgspec.structs.replace(model, path=str(Path.cwd() / model.path))
