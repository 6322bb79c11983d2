"""The ``openvino`` runtime: OpenVINO IR and ONNX models on Intel's engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import openvino as ov
from msgspec import Meta

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed, may_pass
from penstock.core.messages import Parameter
from penstock.core.model import ModelClient
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor, bytes_array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.batch_limit import check_batch_limit
from penstock.runtime.device import without_device
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.read_options import read_options

_DTYPES = {
    "boolean": DType.BOOL,
    "u8": DType.UINT8,
    "u16": DType.UINT16,
    "u32": DType.UINT32,
    "u64": DType.UINT64,
    "i8": DType.INT8,
    "i16": DType.INT16,
    "i32": DType.INT32,
    "i64": DType.INT64,
    "f16": DType.FP16,
    "f32": DType.FP32,
    "f64": DType.FP64,
    "bf16": DType.BF16,
    "string": DType.BYTES,
}


class OpenVinoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``runtime_options`` of an OpenVINO model.

    Attributes:
        device: OpenVINO's name of the device, such as ``GPU`` or ``NPU``; None: the CPU.
        fallback_to_cpu: whether it computes on the CPU where the device is not there.
        precision: what it computes in; ``auto``: the engine's choice, which is a lower one where
            the processor is made for it. Inputs and outputs stay as the model says.
        performance_hint: what the engine tunes itself for.
        streams: executions the engine prepares itself for at once; an instance asks for one.
            0: the engine's choice.
        dynamic_batch: whether the first dimension of each input is made free.
        cache_dir: folder where compiled models are kept for the next start; None: nowhere.
        config: OpenVINO properties, passed on as they are; they win.
    """

    device: str | None = None
    fallback_to_cpu: bool = False
    precision: Literal["auto", "f32", "bf16", "f16"] = "f32"
    performance_hint: Literal["latency", "throughput"] = "latency"
    streams: Annotated[int, Meta(ge=0)] = 1
    dynamic_batch: bool = False
    cache_dir: str | None = None
    config: dict[str, str | int | float | bool] = {}


class OpenVinoRuntime:
    """Loads ``.xml`` files with their ``.bin``, and ``.onnx`` files."""

    platform = "openvino"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> OpenVinoExecutable:
        """Read, compile, and make one infer request; see ``Runtime.load``."""
        del client  # a graph calls nobody
        options = read_options(artifact, OpenVinoOptions)
        core = ov.Core()
        device = _device(artifact, options, core.available_devices)
        _check_weights(artifact)
        try:
            model = core.read_model(artifact.path)
            if options.dynamic_batch:
                model.reshape({p: [-1, *list(p.partial_shape)[1:]] for p in model.inputs})
            compiled = core.compile_model(model, device, _properties(artifact, options))
        except Exception as err:
            reason = " ".join(str(err).split())
            text = f"{artifact.id} is no model OpenVINO can load: {reason}"
            raise LoadFailed(text, retryable=may_pass(err)) from err
        return OpenVinoExecutable(
            compiled.create_infer_request(),
            _signature(artifact, compiled),
            inline_safe=device == "CPU",
        )


class OpenVinoExecutable:
    """One infer request of one compiled model."""

    def __init__(self, request: Any, signature: ModelSignature, *, inline_safe: bool) -> None:
        self.signature = signature
        self.inline_safe = inline_safe
        self._request = request
        self._ports = {spec.name: index for index, spec in enumerate(signature.inputs)}

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Run the request; see ``Executable.execute``."""
        del parameters  # a graph has none
        for tensor in inputs:
            self._request.set_input_tensor(self._ports[tensor.name], _to_openvino(tensor))
        self._request.infer()
        return ExecuteResult(
            tuple(
                Tensor(spec.name, spec.dtype, _from_openvino(self._request, index, spec.dtype))
                for index, spec in enumerate(self.signature.outputs)
            )
        )

    def close(self) -> None:
        """Drop the request, and the compiled model with it."""
        del self._request


def _to_openvino(tensor: Tensor) -> Any:
    """A tensor of OpenVINO's over the same memory, where that may be written; else over a copy."""
    if tensor.dtype is DType.BYTES:
        return ov.Tensor(np.array(tensor.array.tolist(), dtype="S").reshape(tensor.shape))
    array = np.require(tensor.array, requirements=["C", "W"])
    if tensor.dtype is DType.BF16:
        return ov.Tensor(array, list(tensor.shape), ov.Type.bf16)
    return ov.Tensor(array, shared_memory=True)


def _from_openvino(request: Any, index: int, dtype: DType) -> Array:
    """A copy: the request writes its next answer over this one."""
    tensor = request.get_output_tensor(index)
    if dtype is DType.BYTES:
        return bytes_array(tensor.bytes_data)
    array: Array = np.array(tensor.data)
    return array.view(np.uint16) if dtype is DType.BF16 else array


def _device(artifact: ArtifactRef, options: OpenVinoOptions, available: Sequence[str]) -> str:
    wanted = options.device or artifact.manifest.instances.device.upper()
    if wanted.partition(".")[0] in {name.partition(".")[0] for name in available}:
        return wanted
    without_device(
        artifact,
        wanted,
        there=f"OpenVINO computes on {list(available)}",
        remedy="say instances.device: cpu, name one of these in runtime_options.device, or say "
        "runtime_options.fallback_to_cpu: true",
        fallback_to_cpu=options.fallback_to_cpu,
    )
    return "CPU"


def _check_weights(artifact: ArtifactRef) -> None:
    weights = artifact.path.with_suffix(".bin")
    if artifact.path.suffix == ".xml" and artifact.path.exists() and not weights.exists():
        raise LoadFailed(
            f"{artifact.id}: {weights.name}, which has the weights, is not beside "
            f"{artifact.path.name}: copy both files of openvino.save_model"
        )


def _properties(artifact: ArtifactRef, options: OpenVinoOptions) -> dict[str, Any]:
    threads = artifact.manifest.instances.threads_per_instance
    properties: dict[str, Any] = {"PERFORMANCE_HINT": options.performance_hint.upper()}
    if options.precision != "auto":
        properties["INFERENCE_PRECISION_HINT"] = options.precision
    if options.streams:
        properties["NUM_STREAMS"] = options.streams
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    if options.cache_dir is not None:
        properties["CACHE_DIR"] = options.cache_dir
    return properties | options.config


def _signature(artifact: ArtifactRef, compiled: Any) -> ModelSignature:
    inputs = tuple(_spec(artifact, port) for port in compiled.inputs)
    outputs = tuple(_spec(artifact, port) for port in compiled.outputs)
    batched = all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))
    if batched:
        bounds = [port.partial_shape[0].get_max_length() for port in compiled.inputs]
        check_batch_limit(artifact, min((b for b in bounds if b > 0), default=None))
    return ModelSignature(inputs, outputs, batched=batched)


def _spec(artifact: ArtifactRef, port: Any) -> TensorSpec:
    name = min(port.get_names(), default=port.node.friendly_name)
    kind = port.get_element_type().get_type_name()
    shape = port.partial_shape
    if kind not in _DTYPES or shape.rank.is_dynamic:
        raise LoadFailed(
            f"{artifact.id}: '{name}' is {kind} of shape {shape}, expected a known number of "
            f"dimensions and one of {sorted(_DTYPES)}"
        )
    dims = tuple(-1 if dim.is_dynamic else dim.get_length() for dim in shape)
    return TensorSpec(name, _DTYPES[kind], dims)
