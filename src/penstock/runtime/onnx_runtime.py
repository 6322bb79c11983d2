"""The ``onnx`` runtime: ONNX models on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import onnxruntime as ort

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed, may_pass
from penstock.core.messages import Parameter
from penstock.core.model import ModelClient
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor, bytes_array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.device import no_device
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.read_options import read_options
from penstock.runtime.text_input import elements

_DTYPES = {
    "tensor(bool)": DType.BOOL,
    "tensor(uint8)": DType.UINT8,
    "tensor(uint16)": DType.UINT16,
    "tensor(uint32)": DType.UINT32,
    "tensor(uint64)": DType.UINT64,
    "tensor(int8)": DType.INT8,
    "tensor(int16)": DType.INT16,
    "tensor(int32)": DType.INT32,
    "tensor(int64)": DType.INT64,
    "tensor(float16)": DType.FP16,
    "tensor(float)": DType.FP32,
    "tensor(double)": DType.FP64,
    "tensor(string)": DType.BYTES,
}


class OnnxOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``runtime_options`` of an ONNX model.

    Attributes:
        graph_optimization: how far ONNX Runtime rewrites the graph when it loads.
        inter_op_threads: threads across operators; 1: operators run one after another.
        allow_spinning: whether engine threads burn CPU while they wait; faster alone, slower
            beside other work.
        providers: execution providers in order of preference; empty: chosen from the device.
        session_config: ONNX Runtime session configuration entries, passed on as they are.
    """

    graph_optimization: Literal["disable", "basic", "extended", "all"] = "all"
    inter_op_threads: int = 1
    allow_spinning: bool = False
    providers: tuple[str, ...] = ()
    session_config: dict[str, str] = {}


class OnnxRuntime:
    """Loads ``.onnx`` files."""

    platform = "onnxruntime_onnx"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> OnnxExecutable:
        """Build a session; see ``Runtime.load``."""
        del client  # an ONNX graph calls nobody
        instances = artifact.manifest.instances
        options = read_options(artifact, OnnxOptions)
        providers = options.providers or _providers(artifact, instances.device)
        try:
            session = ort.InferenceSession(
                str(artifact.path),
                _session_options(options, instances.threads_per_instance),
                providers=list(providers),
            )
        except Exception as err:
            text = f"{artifact.id} is no model ONNX Runtime can load: {err}"
            raise LoadFailed(text, retryable=may_pass(err)) from err
        return OnnxExecutable(session, _signature(artifact, session))


class OnnxExecutable:
    """One ONNX Runtime session."""

    inline_safe = True

    def __init__(self, session: ort.InferenceSession, signature: ModelSignature) -> None:
        self.signature = signature
        self._session = session
        self._names = [spec.name for spec in signature.outputs]
        self._dtypes = [spec.dtype for spec in signature.outputs]

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Run the session; see ``Executable.execute``."""
        del parameters  # a graph has none
        feed = {tensor.name: elements(tensor) for tensor in inputs}
        arrays = self._session.run(self._names, feed)
        return ExecuteResult(
            tuple(
                Tensor(name, dtype, array if dtype is not DType.BYTES else bytes_array(array))
                for name, dtype, array in zip(self._names, self._dtypes, arrays, strict=True)
            )
        )

    def close(self) -> None:
        """Drop the session and its memory."""
        del self._session


def _providers(artifact: ArtifactRef, device: str) -> tuple[Any, ...]:
    if device == "cpu":
        return ("CPUExecutionProvider",)
    kind, _, index = device.partition(":")
    available = ort.get_available_providers()
    if kind != "cuda" or "CUDAExecutionProvider" not in available:
        raise no_device(
            artifact,
            device,
            there=f"ONNX Runtime computes on {available}",
            remedy="for CUDA: pip install 'penstock[onnx-gpu]'",
        )
    cuda = ("CUDAExecutionProvider", {"device_id": int(index or 0)})
    return (cuda, "CPUExecutionProvider")


def _session_options(options: OnnxOptions, threads: int) -> ort.SessionOptions:
    levels = ort.GraphOptimizationLevel
    session = ort.SessionOptions()
    session.intra_op_num_threads = threads
    session.inter_op_num_threads = options.inter_op_threads
    session.log_severity_level = 3
    session.graph_optimization_level = {
        "disable": levels.ORT_DISABLE_ALL,
        "basic": levels.ORT_ENABLE_BASIC,
        "extended": levels.ORT_ENABLE_EXTENDED,
        "all": levels.ORT_ENABLE_ALL,
    }[options.graph_optimization]
    session.add_session_config_entry(
        "session.intra_op.allow_spinning", "1" if options.allow_spinning else "0"
    )
    for key, value in options.session_config.items():
        session.add_session_config_entry(key, value)
    return session


def _signature(artifact: ArtifactRef, session: ort.InferenceSession) -> ModelSignature:
    inputs = tuple(_spec(artifact, node) for node in session.get_inputs())
    outputs = tuple(_spec(artifact, node) for node in session.get_outputs())
    batched = all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))
    return ModelSignature(inputs, outputs, batched=batched)


def _spec(artifact: ArtifactRef, node: Any) -> TensorSpec:
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        if node.type.startswith("seq(map("):
            raise LoadFailed(
                f"{artifact.id}: output '{node.name}' is a list of maps, which is no tensor. "
                'Export again with skl2onnx.to_onnx(model, X, options={"zipmap": False})'
            )
        raise LoadFailed(
            f"{artifact.id}: '{node.name}' has the type {node.type}, "
            f"expected one of {sorted(_DTYPES)}"
        )
    shape = tuple(dim if isinstance(dim, int) else -1 for dim in node.shape)
    names = tuple(dim if isinstance(dim, str) else "" for dim in node.shape)
    return TensorSpec(node.name, dtype, shape, names)
