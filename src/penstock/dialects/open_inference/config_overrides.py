"""The ``config`` of a load request: a ModelConfig, or our manifest's fields, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from penstock.core.errors import Unsupported
from penstock.dialects.open_inference import config_values, json_text
from penstock.repository.manifest import Manifest

_US_PER_S = 1_000_000
_RUNTIMES = {
    "onnxruntime": "onnx",
    "onnxruntime_onnx": "onnx",
    "onnx": "onnx",
    "python": "python",
    "huggingface": "huggingface",
    "pytorch": "torch",
    "pytorch_libtorch": "torch",
    "openvino": "openvino",
    "tensorflow": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "": None,
}
_NOT_OFFERED = frozenset(
    (
        "batch_input",
        "batch_output",
        "cc_model_filenames",
        "ensemble_scheduling",
        "metric_tags",
        "model_metrics",
        "model_operations",
        "model_repository_agents",
        "model_warmup",
        "optimization",
        "parameters",
        "response_cache",
        "sequence_batching",
    )
)
_DYNAMIC_BATCHING = (
    "preferred_batch_size",
    "max_queue_delay_microseconds",
    "default_queue_policy",
)
_BATCHING_NOT_OFFERED = (
    "preserve_ordering",
    "priority_levels",
    "default_priority_level",
    "priority_queue_policy",
)
_QUEUE_POLICY = ("max_queue_size", "default_timeout_microseconds")


def overrides_from_config(text: str) -> dict[str, Any]:
    """Read the ``config`` parameter of a load request.

    Two forms are taken, field by field: Triton's ModelConfig (``dynamic_batching``,
    ``instance_group``, ``default_model_filename``, ...) and our own ``model.yaml`` (``batching``,
    ``instances``, ``entry``, ...). Numbers may be text, as protobuf's JSON writes 64-bit ones.

    Args:
        text: JSON, an object.

    Returns:
        the fields given, in the manifest's form (nested plain values), to be laid over the
        manifest on disk. Our own nested fields are passed on unchecked: whoever builds the
        manifest checks them.

    Raises:
        InvalidArgument: the text is no JSON.
        ConfigError: a field is unknown (with the nearest name) or has the wrong type.
        Unsupported: a field asks for something that is not offered here; empty values of such
            fields are ignored.
    """
    config = config_values.mapping(
        "config", json_text.parse(text.encode("utf-8", "surrogatepass"), "config")
    )
    result: dict[str, Any] = {}
    for field, value in config.items():
        if field in _READERS:
            _merge(result, _READERS[field](value))
        elif field in Manifest.__struct_fields__:
            _merge(result, {field: value})
        elif field in _NOT_OFFERED:
            config_values.refuse_filled(field, value)
        else:
            raise config_values.unknown_field(
                "config", field, (*_READERS, *Manifest.__struct_fields__)
            )
    signature = result.get("signature")
    if isinstance(signature, dict) and result.get("max_batch_size"):
        _prepend_batch(config, signature)
    return result


def _name(value: object) -> dict[str, Any]:
    if not isinstance(value, str):
        raise config_values.wrong("name", "a string", value)
    return {}


def _runtime(value: object) -> dict[str, Any]:
    if not isinstance(value, str) or value not in _RUNTIMES:
        raise config_values.wrong("backend", f"one of {sorted(set(_RUNTIMES) - {''})}", value)
    runtime = _RUNTIMES[value]
    return {} if runtime is None else {"runtime": runtime}


def _max_batch_size(value: object) -> dict[str, Any]:
    return {"max_batch_size": config_values.integer("max_batch_size", value)}


def _filename(value: object) -> dict[str, Any]:
    if not isinstance(value, str):
        raise config_values.wrong("default_model_filename", "a string", value)
    return {"entry": value} if value else {}


def _version_policy(value: object) -> dict[str, Any]:
    if value == "all":
        return {"version_policy": "all"}
    policy = config_values.mapping("version_policy", value)
    if len(policy) != 1:
        raise config_values.wrong("version_policy", "one of latest, specific and all", value)
    (kind, choice), *_ = policy.items()
    if kind == "all":
        return {"version_policy": "all"}
    if kind == "latest":
        if isinstance(choice, Mapping):
            choice = choice.get("num_versions", 1)
        return {
            "version_policy": {"latest": config_values.integer("version_policy.latest", choice)}
        }
    if kind != "specific":
        raise config_values.unknown_field("version_policy", kind, ("all", "latest", "specific"))
    if isinstance(choice, Mapping):
        choice = choice.get("versions", [])
    return {
        "version_policy": {"specific": config_values.integers("version_policy.specific", choice)}
    }


def _dynamic_batching(value: object) -> dict[str, Any]:
    batching: dict[str, Any] = {}
    queue: dict[str, Any] = {}
    for field, item in config_values.mapping("dynamic_batching", value).items():
        path = f"dynamic_batching.{field}"
        if field == "preferred_batch_size":
            batching["preferred_batch_sizes"] = config_values.integers(path, item)
        elif field == "max_queue_delay_microseconds":
            batching["max_queue_delay_s"] = config_values.integer(path, item) / _US_PER_S
        elif field == "default_queue_policy":
            queue = _queue_policy(item)
        elif field in _BATCHING_NOT_OFFERED:
            config_values.refuse_filled(path, item)
        else:
            raise config_values.unknown_field("dynamic_batching", field, _DYNAMIC_BATCHING)
    return {key: part for key, part in (("batching", batching), ("queue", queue)) if part}


def _queue_policy(value: object) -> dict[str, Any]:
    queue: dict[str, Any] = {}
    for field, item in config_values.mapping("default_queue_policy", value).items():
        path = f"default_queue_policy.{field}"
        if field == "max_queue_size":
            if size := config_values.integer(path, item):
                queue["max_requests"] = size
        elif field == "default_timeout_microseconds":
            if timeout_us := config_values.integer(path, item):
                queue["default_timeout_s"] = timeout_us / _US_PER_S
        elif field == "timeout_action":
            if item not in ("REJECT", 0):
                raise Unsupported(f"config: '{path}' must be REJECT, got {json_text.show(item)}")
        elif field == "allow_timeout_override":
            if not isinstance(item, bool):
                raise config_values.wrong(path, "a boolean", item)
        else:
            raise config_values.unknown_field("default_queue_policy", field, _QUEUE_POLICY)
    return queue


def _instance_group(value: object) -> dict[str, Any]:
    groups = [
        config_values.mapping("instance_group", item)
        for item in config_values.array("instance_group", value)
    ]
    if not groups:
        return {}
    instances: dict[str, Any] = {"count": 0}
    for group in groups:
        count = config_values.integer("instance_group.count", group.get("count", 1)) or 1
        instances["count"] += count
        device = _device(group)
        if instances.setdefault("device", device) != device:
            raise Unsupported("config: all of 'instance_group' must be on one device")
    if instances["device"] is None:
        del instances["device"]
    return {"instances": instances}


def _device(group: Mapping[str, Any]) -> str | None:
    for field in group:
        if field not in ("name", "count", "kind", "gpus"):
            config_values.refuse_filled(f"instance_group.{field}", group[field])
    kind = group.get("kind", "KIND_AUTO")
    gpus = config_values.integers("instance_group.gpus", group.get("gpus", []))
    if kind == "KIND_GPU" or (kind == "KIND_AUTO" and gpus):
        if len(gpus) > 1:
            raise Unsupported("config: 'instance_group.gpus' takes one GPU")
        return f"cuda:{gpus[0]}" if gpus else "cuda"
    if kind not in ("KIND_CPU", "KIND_AUTO"):
        raise config_values.wrong("instance_group.kind", "KIND_CPU, KIND_GPU or KIND_AUTO", kind)
    return "cpu" if kind == "KIND_CPU" else None


def _tensors(side: str) -> Callable[[object], dict[str, Any]]:
    def read(value: object) -> dict[str, Any]:
        fields = [_tensor(side, item) for item in config_values.array(side, value)]
        return {"signature": {f"{side}s": fields}} if fields else {}

    return read


def _tensor(side: str, value: object) -> dict[str, Any]:
    tensor = config_values.mapping(side, value)
    for field in tensor:
        if field not in ("name", "data_type", "dims", "optional"):
            if field == "format" and tensor[field] == "FORMAT_NONE":
                continue
            config_values.refuse_filled(f"{side}.{field}", tensor[field])
    name, datatype = tensor.get("name"), tensor.get("data_type")
    if not isinstance(name, str):
        raise config_values.wrong(f"{side}.name", "a string", name)
    if not isinstance(datatype, str) or not datatype.startswith("TYPE_"):
        raise config_values.wrong(f"{side}.data_type", "a name such as TYPE_FP32", datatype)
    datatype = "BYTES" if datatype == "TYPE_STRING" else datatype.removeprefix("TYPE_")
    dims = config_values.integers(f"{side}.dims", tensor.get("dims", []), -1)
    read = {"name": name, "datatype": datatype, "shape": dims}
    return {**read, "optional": True} if tensor.get("optional") is True else read


def _prepend_batch(config: Mapping[str, Any], signature: dict[str, Any]) -> None:
    """ModelConfig leaves the batch dimension out where ``max_batch_size`` > 0."""
    for side in ("input", "output"):
        if side in config:
            for tensor in signature.get(f"{side}s", ()):
                tensor["shape"] = [-1, *tensor["shape"]]


def _transaction_policy(value: object) -> dict[str, Any]:
    policy = config_values.mapping("model_transaction_policy", value)
    config_values.refuse_filled("model_transaction_policy", policy)
    return {}


_READERS: dict[str, Callable[[object], dict[str, Any]]] = {
    "name": _name,
    "platform": _runtime,
    "backend": _runtime,
    "version_policy": _version_policy,
    "max_batch_size": _max_batch_size,
    "input": _tensors("input"),
    "output": _tensors("output"),
    "instance_group": _instance_group,
    "default_model_filename": _filename,
    "dynamic_batching": _dynamic_batching,
    "model_transaction_policy": _transaction_policy,
}


def _merge(result: dict[str, Any], fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = {**result[key], **value}
        else:
            result[key] = value
