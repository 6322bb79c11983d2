"""The ``mlflow`` runtime: directories with a file ``MLmodel``, by their ``python_function``."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from penstock.core.errors import ConfigError, LoadFailed
from penstock.core.model import ModelClient
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import TensorField
from penstock.runtime.declared import spec_of
from penstock.runtime.mlflow.field import Field, tensor_field
from penstock.runtime.mlflow.mlmodel import MlModel, read_mlmodel
from penstock.runtime.mlflow.pyfunc_model import PyfuncModel, load_predictor, outputs_by_example
from penstock.runtime.mlflow.requirements import differences
from penstock.runtime.mlflow.trust import why_unsafe
from penstock.runtime.read_options import read_options

_log = logging.getLogger("penstock.runtime")


class MlflowOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``runtime_options`` of an MLflow model.

    Attributes:
        trust_pickle: whether a model may be loaded that runs the code or pickles in its folder.
    """

    trust_pickle: bool = False


class MlflowRuntime:
    """Loads MLflow models of every flavor that has a ``python_function``."""

    platform = "mlflow_pyfunc"

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def load(self, artifact: ArtifactRef, client: ModelClient) -> PyfuncModel:
        """Bring one copy into memory; see ``Runtime.load``.

        Law: nothing of the folder runs unless the manifest trusts it.
        """
        del client  # an MLflow model calls nobody here
        options = read_options(artifact, MlflowOptions)
        _check_device(artifact)
        model = read_mlmodel(artifact)
        _check_trust(artifact, model, is_trusted=options.trust_pickle)
        inputs = model.inputs or _declared(artifact, artifact.manifest.signature.inputs)
        if not inputs:
            raise LoadFailed(
                f"{artifact.id}: the model has no signature: save it with "
                "signature=infer_signature(inputs, outputs), or declare signature in model.yaml"
            )
        self._warn(artifact, model)
        predictor = load_predictor(artifact, model)
        outputs = (
            model.outputs
            or _declared(artifact, artifact.manifest.signature.outputs)
            or outputs_by_example(artifact, model, predictor, inputs)
        )
        return PyfuncModel(model, predictor, inputs, outputs)

    def _warn(self, artifact: ArtifactRef, model: MlModel) -> None:
        """Say once for all copies what the model was made with and is not here."""
        found = differences(model.folder)
        if found and artifact.revision not in self._warned:
            self._warned.add(artifact.revision)
            _log.warning("%s was made with other packages: %s", artifact.id, "; ".join(found))


def _declared(artifact: ArtifactRef, fields: Sequence[TensorField]) -> tuple[Field, ...]:
    """Arrays by name, or the array itself where there is only one."""
    try:
        return tuple(tensor_field(spec_of(f), is_named=len(fields) > 1) for f in fields)
    except ConfigError as err:
        raise LoadFailed(f"{artifact.id}: {err.message}") from err


def _check_trust(artifact: ArtifactRef, model: MlModel, *, is_trusted: bool) -> None:
    reason = None if is_trusted else why_unsafe(model)
    if reason is not None:
        raise LoadFailed(
            f"{artifact.id}: loading this MLflow model would run code that came with it: {reason}; "
            "nothing of it was run. If you trust whoever made it, say runtime_options: "
            "{trust_pickle: true} in its model.yaml"
        )


def _check_device(artifact: ArtifactRef) -> None:
    device = artifact.manifest.instances.device
    if device != "cpu":
        raise LoadFailed(
            f"{artifact.id}: instances.device is '{device}', but where an MLflow model computes is "
            "its own code's choice: say device: cpu, or serve what it holds by its own runtime"
        )
