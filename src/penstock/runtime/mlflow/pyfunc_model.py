"""PyfuncModel: a loaded MLflow model with its signature."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from penstock.core.errors import InvalidInput, LoadFailed, PenstockError, may_pass
from penstock.core.messages import Parameter
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Array, Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.mlflow.columns import fields_of, read_rows, to_model, to_tensors
from penstock.runtime.mlflow.example import read_example
from penstock.runtime.mlflow.field import Field
from penstock.runtime.mlflow.mlmodel import MlModel
from penstock.runtime.mlflow.params import read_params
from penstock.runtime.mlflow.requirements import install_command

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of its own classes while it is imported
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException


class PyfuncModel:
    """One loaded MLflow model."""

    inline_safe = False  # it may be any code

    def __init__(
        self, model: MlModel, predictor: Any, inputs: Sequence[Field], outputs: Sequence[Field]
    ) -> None:
        specs = tuple(f.spec for f in inputs), tuple(f.spec for f in outputs)
        free = all(s.shape and s.shape[0] == -1 for s in (*specs[0], *specs[1]))
        self.signature = ModelSignature(*specs, batched=free)
        self._params = model.params
        self._predictor = predictor
        self._inputs = inputs
        self._outputs = outputs

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Predict; see ``Executable.execute``.

        Raises:
            InvalidArgument: a parameter is of another type than the signature says.
        """
        params = read_params(self._params, parameters)
        arrays, invalid = read_rows(self._inputs, {tensor.name: tensor for tensor in inputs})
        if invalid and not len(next(iter(arrays.values()))):
            return ExecuteResult((), invalid)
        try:
            return ExecuteResult(self._predict(arrays, params), invalid)
        except MlflowException as err:
            if not self.signature.batched or not _is_refusal(err):
                raise
            return self._one_by_one(arrays, params, invalid)

    def close(self) -> None:
        """Drop the model and its memory."""
        del self._predictor

    def _predict(self, arrays: Mapping[str, Array], params: dict[str, Any]) -> tuple[Tensor, ...]:
        data = to_model(self._inputs, arrays)
        answer = self._predictor.predict(data, params) if params else self._predictor.predict(data)
        return to_tensors(self._outputs, answer)

    def _one_by_one(
        self, arrays: Mapping[str, Array], params: dict[str, Any], invalid: dict[int, InvalidInput]
    ) -> ExecuteResult:
        """Each row alone, so that one which MLflow refuses harms no other."""
        count = len(next(iter(arrays.values())))
        numbers = [row for row in range(count + len(invalid)) if row not in invalid]
        answers: list[tuple[Tensor, ...]] = []
        for i, row in enumerate(numbers):
            try:
                alone = {name: array[i : i + 1] for name, array in arrays.items()}
                answers.append(self._predict(alone, params))
            except MlflowException as err:
                if not _is_refusal(err):
                    raise
                invalid[row] = InvalidInput(row, f"MLflow refuses the row: {_reason(err)}")
        parts = zip(*answers, strict=True)
        outputs = tuple(
            Tensor(same[0].name, same[0].dtype, np.concatenate([t.array for t in same]))
            for same in parts
        )
        return ExecuteResult(outputs, invalid)


def load_predictor(artifact: ArtifactRef, model: MlModel) -> Any:
    """Run the model's loader. Blocks.

    Raises:
        LoadFailed: a library is missing, or the loader raised.
    """
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # we say what there is to say
    try:
        return mlflow.pyfunc.load_model(str(model.folder), suppress_warnings=True)
    except ModuleNotFoundError as err:
        package = (err.name or "").partition(".")[0]
        raise LoadFailed(
            f"{artifact.id}: the model needs the package '{package}': "
            f"{install_command(model.folder, package)}"
        ) from err
    except Exception as err:
        raise LoadFailed(
            f"{artifact.id} is no model MLflow can load: {type(err).__name__}: {_reason(err)}",
            retryable=may_pass(err),
            culprit=err,
        ) from err


def outputs_by_example(
    artifact: ArtifactRef, model: MlModel, predictor: Any, inputs: Sequence[Field]
) -> tuple[Field, ...]:
    """The outputs of a model whose signature has none: those it gives to its input example.

    Raises:
        LoadFailed: it has no example either, or cannot answer it.
    """
    example = read_example(model)
    if example is None:
        raise LoadFailed(
            f"{artifact.id}: the model's signature has no outputs, and there is no input example "
            "to see them by: save it with signature=infer_signature(inputs, outputs), or declare "
            "signature.outputs in model.yaml"
        )
    try:
        arrays, _ = read_rows(inputs, {tensor.name: tensor for tensor in example})
        return fields_of(predictor.predict(to_model(inputs, arrays)))
    except PenstockError as err:
        raise LoadFailed(f"{artifact.id}: {err.message}") from err
    except Exception as err:
        raise LoadFailed(
            f"{artifact.id} cannot answer its own input example: {type(err).__name__}: "
            f"{_reason(err)}",
            culprit=err,
        ) from err


def _is_refusal(err: MlflowException) -> bool:
    """Whether MLflow found that the inputs do not fit the schema."""
    return bool(err.error_code == "INVALID_PARAMETER_VALUE")


def _reason(err: Exception) -> str:
    """The first line of its text, without the data that MLflow quotes before it."""
    text = str(err).rpartition("Error: ")[2] or str(err)
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:300]
