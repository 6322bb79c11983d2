"""The model configuration extension: what a model runs as, in the form of Triton's ModelConfig."""

from __future__ import annotations

from typing import Any

from penstock.core.dtype import DType
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.dialects.open_inference.metadata import backend_of, platform_of
from penstock.repository.manifest import Instances, Manifest

_US_PER_S = 1_000_000


def model_config(
    name: str,
    runtime: str,
    signature: ModelSignature,
    manifest: Manifest,
    max_batch_size: int,
    default_filename: str = "",
) -> dict[str, Any]:
    """The answer of ``GET /v2/models/{name}/config``, and of ``ModelConfig`` under ``config``.

    Args:
        name: the model's name.
        runtime: the runtime's name, such as ``onnx``.
        signature: of the version described.
        manifest: the model's manifest, with what a load request replaced.
        max_batch_size: rows per execution, as it holds; 0: the model takes no batch dimension.
        default_filename: the artifact's file name.

    Returns:
        ModelConfig's own field names; dims leave the batch dimension out where the model batches.

    Source: Triton, "Model Configuration Extension".
    """
    skip = 1 if max_batch_size > 0 and signature.batched else 0
    config: dict[str, Any] = {
        "name": name,
        "platform": platform_of(runtime),
        "backend": backend_of(runtime),
        "version_policy": _version_policy(manifest),
        "max_batch_size": max_batch_size,
        "input": [_input(spec, skip) for spec in signature.inputs],
        "output": [_tensor(spec, skip) for spec in signature.outputs],
        "instance_group": [_instance_group(name, manifest.instances)],
        "default_model_filename": default_filename,
        "model_transaction_policy": {"decoupled": False},
    }
    if max_batch_size > 0:
        config["dynamic_batching"] = _dynamic_batching(manifest)
    return config


def config_datatype(dtype: DType) -> str:
    """ModelConfig's name of a datatype: ``TYPE_FP32``; BYTES is ``TYPE_STRING``."""
    return "TYPE_STRING" if dtype is DType.BYTES else f"TYPE_{dtype}"


def _tensor(spec: TensorSpec, skip: int) -> dict[str, Any]:
    return {
        "name": spec.name,
        "data_type": config_datatype(spec.dtype),
        "dims": list(spec.shape[skip:]),
    }


def _input(spec: TensorSpec, skip: int) -> dict[str, Any]:
    return {**_tensor(spec, skip), "optional": True} if spec.optional else _tensor(spec, skip)


def _version_policy(manifest: Manifest) -> dict[str, Any]:
    policy = manifest.version_policy
    if isinstance(policy, str):
        return {"all": {}}
    if policy.specific is not None:
        return {"specific": {"versions": list(policy.specific)}}
    return {"latest": {"num_versions": policy.latest if policy.latest is not None else 1}}


def _instance_group(name: str, instances: Instances) -> dict[str, Any]:
    kind, _, number = instances.device.partition(":")
    group: dict[str, Any] = {"name": f"{name}_0", "count": instances.count}
    if kind == "cpu":
        return {**group, "kind": "KIND_CPU"}
    return {**group, "kind": "KIND_GPU", "gpus": [int(number or 0)]}


def _dynamic_batching(manifest: Manifest) -> dict[str, Any]:
    batching, queue = manifest.batching, manifest.queue
    return {
        "preferred_batch_size": list(batching.preferred_batch_sizes),
        "max_queue_delay_microseconds": round(batching.max_queue_delay_s * _US_PER_S),
        "default_queue_policy": {
            "timeout_action": "REJECT",
            "default_timeout_microseconds": round(queue.default_timeout_s * _US_PER_S),
            "allow_timeout_override": True,
            "max_queue_size": queue.max_requests,
        },
    }
