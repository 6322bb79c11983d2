"""Booster: a gradient-boosted model as an Executable, whichever library grew its trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

import msgspec
import numpy as np
from msgspec import Meta

from penstock.core.dtype import DType
from penstock.core.messages import Parameter
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Array, Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.read_options import wrong_option
from penstock.runtime.tabular.features import FeatureInputs, Style
from penstock.runtime.tabular.scores import Classes, OutputKind, ScoreOutputs


class BoosterOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``runtime_options`` that every gradient-boosted model has.

    Attributes:
        outputs: one or several of ``prediction``, ``probability`` and ``margin``; empty:
            ``prediction``, and ``probability`` where there are classes.
        labels: the classes' names, in the order of the model's classes; empty: the model's own.
        inputs: ``matrix``: one input for all features; ``columns``: one for each; ``auto``:
            columns where the model needs them or the manifest declares them.
    """

    outputs: OutputKind | tuple[OutputKind, ...] = ()
    labels: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    inputs: Style = "auto"


class Engine(Protocol):
    """One library's loaded model."""

    dtype: DType
    """The datatype of its scores."""

    width: int
    """Its scores for each row."""

    raw_width: int
    """Its scores for each row before the link function."""

    classes: Classes | None
    """What the scores are the probabilities of; None: they are no probabilities."""

    def score(self, features: Any, *, raw: bool) -> Array:
        """The scores of at least one row.

        Args:
            features: what the model's inputs read.
            raw: before the link function.

        Returns:
            ``rows * width`` or ``rows * raw_width`` numbers of ``dtype``, row by row.
        """
        ...


class BoosterExecutable:
    """One gradient-boosted model. It only computes, in a time that its trees set."""

    inline_safe = True

    def __init__(self, engine: Engine, inputs: FeatureInputs, outputs: ScoreOutputs) -> None:
        self.signature = ModelSignature(inputs.specs, outputs.specs)
        self._engine = engine
        self._inputs = inputs
        self._outputs = outputs

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Score each row; see ``Executable.execute``. Margins beside the others score twice."""
        del parameters  # trees have none
        rows = inputs[0].shape[0]
        features = self._inputs.read(inputs) if rows else None
        wanted = self._outputs
        value = self._score(features, rows, raw=False) if wanted.needs_value else None
        raw = self._score(features, rows, raw=True) if wanted.needs_raw else None
        return ExecuteResult(wanted.tensors(value, raw))

    def close(self) -> None:
        """Drop the model and its memory."""
        del self._engine

    def _score(self, features: Any, rows: int, *, raw: bool) -> Array:
        engine = self._engine
        width = engine.raw_width if raw else engine.width
        if not rows:
            return np.empty((0, width), engine.dtype.numpy)
        return engine.score(features, raw=raw).reshape(rows, width)


def booster_outputs(artifact: ArtifactRef, options: BoosterOptions, engine: Engine) -> ScoreOutputs:
    """The outputs a manifest asks for.

    Raises:
        LoadFailed: probabilities or labels are asked for where there are no classes, an output
            twice, or another number of labels than of classes.
    """
    wanted = options.outputs if isinstance(options.outputs, tuple) else (options.outputs,)
    classes = engine.classes
    if classes is None and ("probability" in wanted or options.labels):
        field = "labels" if options.labels else "outputs"
        raise wrong_option(artifact, field, "expected a classifier, the model gives numbers")
    if len(set(wanted)) != len(wanted):
        raise wrong_option(artifact, "outputs", "expected each output once")
    if classes is not None and options.labels:
        if len(options.labels) != len(classes.values):
            raise wrong_option(
                artifact,
                "labels",
                f"expected {len(classes.values)} labels, one for each class of the model, "
                f"got {len(options.labels)}",
            )
        classes = classes._replace(values=object_array(list(options.labels)))
    default: tuple[OutputKind, ...] = (
        ("prediction",) if classes is None else ("prediction", "probability")
    )
    return ScoreOutputs(wanted or default, engine.dtype, (engine.width, engine.raw_width), classes)
