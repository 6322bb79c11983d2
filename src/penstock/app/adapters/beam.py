"""beam_model_handler: a model in Apache Beam's RunInference, on any of its runners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.app.adapters.scoring import BATCH_ROWS, Scoring, model_ref
from penstock.core.errors import ConfigError
from penstock.jobs.model_ref import ModelRef

if TYPE_CHECKING:
    from penstock.app.adapters.beam_handler import BeamModelHandler


def beam_model_handler(
    model: ModelRef | Mapping[str, Any] | str,
    *,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    rename: Mapping[str, str] | None = None,
    binary: Sequence[str] = (),
    max_batch_rows: int = BATCH_ROWS,
) -> BeamModelHandler:
    """A handler for ``RunInference``; each process of the pipeline loads one copy.

    ::

        handler = penstock.beam_model_handler({"path": "models", "name": "digits"})
        results = rows | RunInference(handler)
        answered, refused = handler.split_refused(results)

    Args:
        model: which, as ``model`` in a job's file; a text is its path.
        columns: input to its column, or to columns side by side; by name where it says nothing.
        rename: output to the key that it has in the inference.
        binary: BYTES outputs that are no text, and come as ``bytes``.
        max_batch_rows: the most rows that Beam puts together.

    Raises:
        ConfigError: the reference to the model is wrong; Beam is not installed.
    """
    scoring = Scoring(
        model=model_ref(model),
        columns=columns or {},
        rename=rename or {},
        binary=tuple(binary),
        batch_rows=max_batch_rows,
    )
    try:
        from penstock.app.adapters.beam_handler import BeamModelHandler
    except ModuleNotFoundError as err:
        raise ConfigError("beam_model_handler needs Beam: pip install 'penstock[beam]'") from err
    return BeamModelHandler(scoring)
