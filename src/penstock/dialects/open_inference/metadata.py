"""Health and metadata, as the plain values that REST writes as JSON and gRPC as messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from penstock.core.signature import ModelSignature, TensorSpec

EXTENSIONS = (
    "classification",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)
"""The extensions that work here."""

_PLATFORMS = {"onnx": "onnxruntime_onnx"}
_BACKENDS = {"onnx": "onnxruntime"}


def server_metadata(
    version: str, name: str = "penstock", extensions: Sequence[str] = EXTENSIONS
) -> dict[str, Any]:
    """The answer of ``GET /v2`` and ``ServerMetadata``."""
    return {"name": name, "version": version, "extensions": list(extensions)}


def model_metadata(
    name: str, versions: Iterable[int], runtime: str, signature: ModelSignature
) -> dict[str, Any]:
    """The answer of ``GET /v2/models/{name}`` and ``ModelMetadata``.

    Args:
        name: the model's name.
        versions: the versions that are ready, or just the one that was asked for.
        runtime: the runtime's name, such as ``onnx``.
        signature: of the version described; shapes include the batch dimension.
    """
    return {
        "name": name,
        "versions": [str(version) for version in sorted(versions)],
        "platform": platform_of(runtime),
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [_tensor(spec) for spec in signature.outputs],
    }


def live_body() -> dict[str, Any]:
    """The answer of ``GET /v2/health/live``: an answer at all means live."""
    return {"live": True}


def ready_body(ready: bool) -> dict[str, Any]:
    """The answer of ``GET /v2/health/ready``, with 200 where ready and 503 where not.

    It says ``live`` too, which the specification's example has there by mistake.
    """
    return {"ready": ready, "live": True}


def model_ready_body(name: str, ready: bool) -> dict[str, Any]:
    """The answer of ``GET /v2/models/{name}/ready``, with 200 where ready and 503 where not."""
    return {"name": name, "ready": ready}


def models_body(names: Iterable[str]) -> dict[str, Any]:
    """The answer of ``GET /v2/models``, which KServe has and its clients ask for."""
    return {"models": sorted(names)}


def platform_of(runtime: str) -> str:
    """Triton's platform name of a runtime: ``<project>_<format>``; else the runtime's own."""
    return _PLATFORMS.get(runtime, runtime)


def backend_of(runtime: str) -> str:
    """Triton's backend name of a runtime; else the runtime's own."""
    return _BACKENDS.get(runtime, runtime)


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": str(spec.dtype), "shape": list(spec.shape)}
