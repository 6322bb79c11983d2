"""The ``sklearn`` runtime: scikit-learn estimators, from skops files or trusted pickles."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from penstock.core.errors import InvalidInput, LoadFailed
from penstock.core.messages import Parameter
from penstock.core.model import ModelClient
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.read_options import read_options
from penstock.runtime.sklearn_file import load_estimator
from penstock.runtime.sklearn_inputs import SklearnInputs, find_inputs
from penstock.runtime.sklearn_outputs import OutputName, SklearnOutputs, find_methods
from penstock.runtime.sklearn_threads import OpenMpThreads, limit_jobs
from penstock.runtime.tabular.engine_text import first_line
from penstock.runtime.tabular.features import Style
from penstock.runtime.tabular.placement import need_cpu


class SklearnOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``runtime_options`` of a scikit-learn model.

    Attributes:
        outputs: one or several of ``prediction``, ``probability``, ``margin`` (what
            ``decision_function`` says) and ``transform``; empty: what the estimator can do.
        inputs: ``matrix``: one input for all features; ``columns``: one for each; ``auto``:
            columns where the estimator picks them by name.
        trusted: types in a skops file that may be made though skops does not know them.
        trust_pickle: whether a pickle or joblib file may be loaded, which runs the code in it.
    """

    outputs: OutputName | tuple[OutputName, ...] = ()
    inputs: Style = "auto"
    trusted: tuple[str, ...] = ()
    trust_pickle: bool = False


class SklearnRuntime:
    """Loads fitted estimators and pipelines."""

    platform = "sklearn"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> SklearnExecutable:
        """Load the estimator and try it on one row; see ``Runtime.load``."""
        del client  # an estimator calls nobody
        options = read_options(artifact, SklearnOptions)
        need_cpu(artifact, "scikit-learn")
        estimator = load_estimator(
            artifact, trusted=options.trusted, trust_pickle=options.trust_pickle
        )
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        threads = artifact.manifest.instances.threads_per_instance
        limit_jobs(estimator, threads)
        inputs = find_inputs(artifact, estimator, options.inputs)
        methods = find_methods(artifact, estimator, options.outputs)
        openmp = OpenMpThreads(threads)
        openmp.hold()
        return SklearnExecutable(inputs, _tried(artifact, methods, inputs, estimator), openmp)


class SklearnExecutable:
    """One fitted estimator."""

    def __init__(
        self, inputs: SklearnInputs, outputs: SklearnOutputs, threads: OpenMpThreads
    ) -> None:
        self.signature = ModelSignature(inputs.specs, outputs.specs)
        self.inline_safe = not inputs.is_text  # its time grows with the text
        self._inputs = inputs
        self._outputs = outputs
        self._threads = threads

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Call each output's method; see ``Executable.execute``.

        Raises:
            InvalidInput: the estimator refuses a row: a category it does not know, a NaN.
        """
        del parameters  # an estimator has none
        if not inputs[0].shape[0]:
            return ExecuteResult(self._outputs.no_rows())
        self._threads.hold()
        try:
            return ExecuteResult(self._run(inputs))
        except ValueError as err:
            raise self._refused(inputs) or err from err

    def close(self) -> None:
        """Drop the estimator and its memory."""
        del self._outputs

    def _run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return self._outputs.tensors(self._inputs.read(inputs))

    def _refused(self, inputs: Sequence[Tensor]) -> InvalidInput | None:
        """The first row that is refused alone, found by halving; None: there is none."""
        start, stop = 0, inputs[0].shape[0]
        while stop - start > 1:
            middle = (start + stop) // 2
            is_before = self._refusal(inputs, start, middle) is not None
            start, stop = (start, middle) if is_before else (middle, stop)
        refusal = self._refusal(inputs, start, stop)
        return None if refusal is None else InvalidInput(start, first_line(refusal))

    def _refusal(self, inputs: Sequence[Tensor], start: int, stop: int) -> ValueError | None:
        try:
            self._run([tensor.rows(start, stop) for tensor in inputs])
        except ValueError as err:
            return err
        return None


def _tried(
    artifact: ArtifactRef, methods: Mapping[OutputName, str], inputs: SklearnInputs, estimator: Any
) -> SklearnOutputs:
    """The outputs, as one row of an example shows them."""
    try:
        with np.errstate(all="ignore"):
            return SklearnOutputs(estimator, methods, inputs.read(inputs.example))
    except Exception as err:
        row = {tensor.name: tensor.array.tolist() for tensor in inputs.example}
        raise LoadFailed(
            f"{artifact.id}: the estimator failed on an example row, {str(row)[:300]}: "
            f"{type(err).__name__}: {first_line(err)}. Where a datatype is wrong, declare the "
            "inputs under 'signature' in model.yaml"
        ) from err
