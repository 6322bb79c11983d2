"""What an estimator can say of a row, as outputs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed, MalformedAnswer
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Array, Tensor, bytes_array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.read_options import wrong_option

OutputName: TypeAlias = Literal["prediction", "probability", "margin", "transform"]

_METHODS: Mapping[OutputName, str] = MappingProxyType(
    {
        "prediction": "predict",
        "probability": "predict_proba",
        "margin": "decision_function",
        "transform": "transform",
    }
)


class SklearnOutputs:
    """The outputs of one estimator. Their datatypes and shapes are those of a first answer.

    Args:
        estimator: fitted.
        methods: the method that gives each output.
        row: what the methods take, one row.

    Raises:
        MalformedAnswer: an answer is no tensor.
    """

    def __init__(self, estimator: Any, methods: Mapping[OutputName, str], row: Any) -> None:
        self._calls = {name: getattr(estimator, method) for name, method in methods.items()}
        self._classes = _class_names(estimator)
        self.specs = tuple(
            self._spec(name, _array(call(row))) for name, call in self._calls.items()
        )

    def tensors(self, features: Any) -> tuple[Tensor, ...]:
        """The outputs of at least one row."""
        return tuple(
            _tensor(spec, _array(call(features)))
            for spec, call in zip(self.specs, self._calls.values(), strict=True)
        )

    def no_rows(self) -> tuple[Tensor, ...]:
        """The outputs of no row."""
        return tuple(
            Tensor(spec.name, spec.dtype, np.empty((0, *spec.shape[1:]), spec.dtype.numpy))
            for spec in self.specs
        )

    def _spec(self, name: str, answer: Array) -> TensorSpec:
        dtype = DType.from_numpy(answer.dtype)
        if dtype is None or answer.ndim < 1:
            raise MalformedAnswer(f"its answer '{name}' is no tensor: {answer.dtype}")
        shape = (-1, *answer.shape[1:])
        is_by_class = name == "probability" or (name == "margin" and len(shape) > 1)
        fits = shape[-1:] == (len(self._classes),)
        return TensorSpec(name, dtype, shape, labels=self._classes if is_by_class and fits else ())


def find_methods(
    artifact: ArtifactRef, estimator: Any, wanted: OutputName | tuple[OutputName, ...]
) -> dict[OutputName, str]:
    """The methods of the outputs a manifest asks for.

    Without a wish: what it predicts, with probabilities or else margins; where it predicts
    nothing, what it transforms.

    Raises:
        LoadFailed: an output is asked for twice, or the estimator has no such method.
    """
    names = wanted if isinstance(wanted, tuple) else (wanted,)
    able = [name for name, method in _METHODS.items() if _can(estimator, name, method)]
    missing = [name for name in names if name not in able]
    if missing:
        raise wrong_option(
            artifact,
            "outputs",
            f"expected outputs that a {type(estimator).__name__} has, {able}, got '{missing[0]}'",
        )
    if len(set(names)) != len(names):
        raise wrong_option(artifact, "outputs", "expected each output once")
    chosen = names or _default(able)
    if not chosen:
        raise LoadFailed(
            f"{artifact.id}: a {type(estimator).__name__} answers no rows but those it was fitted "
            "with: it has neither predict nor transform"
        )
    return {name: _METHODS[name] for name in chosen}


def _default(able: list[OutputName]) -> tuple[OutputName, ...]:
    if "prediction" not in able:
        return tuple(able[:1])
    scores: list[OutputName] = [name for name in able if name in ("probability", "margin")]
    return ("prediction", *scores[:1])


def _can(estimator: Any, name: OutputName, method: str) -> bool:
    if name == "probability" and isinstance(getattr(estimator, "classes_", None), list):
        return False  # several targets: a list of matrices, one for each
    return hasattr(estimator, method)


def _class_names(estimator: Any) -> tuple[str, ...]:
    classes = getattr(estimator, "classes_", None)
    return tuple(map(str, classes.tolist())) if isinstance(classes, np.ndarray) else ()


def _array(answer: Any) -> Array:
    """An answer as numbers or text: not sparse, no DataFrame, no numbers in object arrays."""
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    array = np.asarray(answer)
    if array.dtype == object and not any(isinstance(i, str) for i in array.reshape(-1)[:1]):
        array = np.array(array.tolist())
    return array


def _tensor(spec: TensorSpec, answer: Array) -> Tensor:
    if spec.dtype is DType.BYTES:
        return Tensor(spec.name, spec.dtype, bytes_array(answer))
    return Tensor(spec.name, spec.dtype, answer.astype(spec.dtype.numpy, copy=False))
