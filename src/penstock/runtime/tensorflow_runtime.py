"""The ``tensorflow`` runtime: SavedModel folders and Keras 3 files."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.messages import Parameter
from penstock.core.model import ModelClient
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import TensorField
from penstock.runtime.device import choose_device
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.keras_file import load_keras
from penstock.runtime.quiet_tensorflow import tf
from penstock.runtime.read_options import read_options
from penstock.runtime.saved_model import load_saved_model

_log = logging.getLogger("penstock.runtime")

_DTYPES = {
    "bool": DType.BOOL,
    "uint8": DType.UINT8,
    "uint16": DType.UINT16,
    "uint32": DType.UINT32,
    "uint64": DType.UINT64,
    "int8": DType.INT8,
    "int16": DType.INT16,
    "int32": DType.INT32,
    "int64": DType.INT64,
    "float16": DType.FP16,
    "float32": DType.FP32,
    "float64": DType.FP64,
    "bfloat16": DType.BF16,
    "string": DType.BYTES,
}
_PLACES_IN_THE_GRAPH = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]")


class TensorflowOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``runtime_options`` of a TensorFlow model.

    Attributes:
        signature: of a SavedModel: the signature that is served.
        trust_lambdas: of a ``.keras`` file: whether Python code in its Lambda layers may run.
        inter_op_threads: threads across operators, of the whole process; 0: TensorFlow's choice.
        fallback_to_cpu: whether it computes on the CPU where the device is not there.
    """

    signature: str = "serving_default"
    trust_lambdas: bool = False
    inter_op_threads: Annotated[int, Meta(ge=0)] = 0
    fallback_to_cpu: bool = False


class TensorflowRuntime:
    """Loads folders with a ``saved_model.pb``, and ``.keras`` files."""

    platform = "tensorflow_savedmodel"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> TensorflowExecutable:
        """Load the weights and find the function to call; see ``Runtime.load``."""
        del client  # a graph calls nobody
        options = read_options(artifact, TensorflowOptions)
        _set_threads(artifact, options)
        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:
            with contextlib.suppress(RuntimeError):  # the first model has done it
                tf.config.experimental.set_memory_growth(gpu, True)
        device = choose_device(
            artifact,
            framework="TensorFlow",
            gpu_count=len(gpus),
            fallback_to_cpu=options.fallback_to_cpu,
        ).replace("cuda", "gpu")
        with tf.device(device):
            if artifact.path.suffix == ".keras":
                function, owner = load_keras(artifact, trust_lambdas=options.trust_lambdas)
            else:
                function, owner = load_saved_model(artifact, options.signature)
        return TensorflowExecutable(function, owner, device, _signature(artifact, function))


class TensorflowExecutable:
    """One concrete function with the variables it reads."""

    def __init__(
        self, function: Callable[..., Any], owner: Any, device: str, signature: ModelSignature
    ) -> None:
        self.signature = signature
        self.inline_safe = device == "cpu"
        self._function = function
        self._owner = owner  # its variables go when it goes
        self._device = device

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Call the function; see ``Executable.execute``."""
        del parameters  # a graph has none
        try:
            with tf.device(self._device):
                answer = self._function(**{t.name: _to_tensorflow(t) for t in inputs})
        except tf.errors.OpError as err:
            reason = _PLACES_IN_THE_GRAPH.sub("", err.message).strip().splitlines()[-1]
            raise RuntimeError(reason.strip()) from err
        return ExecuteResult(
            tuple(
                Tensor(spec.name, spec.dtype, _from_tensorflow(answer[spec.name], spec.dtype))
                for spec in self.signature.outputs
            )
        )

    def close(self) -> None:
        """Drop the function and its variables."""
        del self._function, self._owner


def _to_tensorflow(tensor: Tensor) -> Any:
    if tensor.dtype is DType.BYTES:
        return tf.constant(tensor.array, tf.string)
    if tensor.dtype is DType.BF16:
        return tf.constant(tensor.array.view(tf.bfloat16.as_numpy_dtype))
    return tf.constant(tensor.array)


def _from_tensorflow(value: Any, dtype: DType) -> Array:
    array: Array = np.asarray(value.numpy(), object if dtype is DType.BYTES else None)
    return array.view(np.uint16) if dtype is DType.BF16 else array


def _set_threads(artifact: ArtifactRef, options: TensorflowOptions) -> None:
    """Set the process's numbers of threads, which TensorFlow takes once, before its first use."""
    threading = tf.config.threading
    wanted = artifact.manifest.instances.threads_per_instance
    if wanted and wanted != threading.get_intra_op_parallelism_threads():
        try:
            threading.set_intra_op_parallelism_threads(wanted)
        except RuntimeError:
            _log.warning(
                "%s: threads_per_instance: %d does not hold: TensorFlow's threads are the whole "
                "process's, and were set by what used it first, to %d (0: its own choice)",
                artifact.id,
                wanted,
                threading.get_intra_op_parallelism_threads(),
            )
    if options.inter_op_threads:
        with contextlib.suppress(RuntimeError):  # as above, and told there
            threading.set_inter_op_parallelism_threads(options.inter_op_threads)


def _signature(artifact: ArtifactRef, function: Any) -> ModelSignature:
    declared = artifact.manifest.signature
    _, given = function.structured_input_signature
    inputs = _specs(artifact, given, declared.inputs)
    outputs = _specs(artifact, function.structured_outputs, declared.outputs)
    batched = all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))
    return ModelSignature(inputs, outputs, batched=batched)


def _specs(
    artifact: ArtifactRef, values: Mapping[str, Any], declared: Sequence[TensorField]
) -> tuple[TensorSpec, ...]:
    shapes = {field.name: field.shape for field in declared}
    return tuple(_spec(artifact, name, value, shapes.get(name)) for name, value in values.items())


def _spec(
    artifact: ArtifactRef, name: str, value: Any, declared: tuple[int, ...] | None
) -> TensorSpec:
    dtype = _DTYPES.get(value.dtype.name) if isinstance(value, tf.TensorSpec | tf.Tensor) else None
    if dtype is None:
        raise LoadFailed(
            f"{artifact.id}: '{name}' is {value}, expected a dense tensor of one of "
            f"{sorted(_DTYPES)}"
        )
    if value.shape.rank is not None:
        return TensorSpec(name, dtype, tuple(-1 if dim is None else dim for dim in value.shape))
    if declared is None:
        raise LoadFailed(
            f"{artifact.id}: the model does not say how many dimensions '{name}' has: declare it, "
            f"signature: {{inputs or outputs: [{{name: {name}, datatype: {dtype}, shape: [-1]}}]}}"
        )
    return TensorSpec(name, dtype, declared)
