"""The config of a load request."""

import json
from typing import Any

import pytest

from penstock.core.errors import ConfigError, InvalidArgument, PenstockError, Unsupported
from penstock.dialects.open_inference.config_overrides import overrides_from_config


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, {}),
        ({"max_batch_size": 16}, {"max_batch_size": 16}),
        ({"max_batch_size": "16"}, {"max_batch_size": 16}),
        ({"name": "m", "platform": "", "backend": "onnxruntime"}, {"runtime": "onnx"}),
        ({"version_policy": {"all": {}}}, {"version_policy": "all"}),
        ({"version_policy": "all"}, {"version_policy": "all"}),
        ({"version_policy": {"latest": {"num_versions": 2}}}, {"version_policy": {"latest": 2}}),
        ({"version_policy": {"latest": 2}}, {"version_policy": {"latest": 2}}),
        (
            {"version_policy": {"specific": {"versions": ["1", 3]}}},
            {"version_policy": {"specific": [1, 3]}},
        ),
        ({"version_policy": {"specific": [1]}}, {"version_policy": {"specific": [1]}}),
        (
            {"dynamic_batching": {"max_queue_delay_microseconds": "100"}},
            {"batching": {"max_queue_delay_s": 0.0001}},
        ),
        ({"dynamic_batching": {}}, {}),
        (
            {"dynamic_batching": {"preserve_ordering": False, "preferred_batch_size": [4]}},
            {"batching": {"preferred_batch_sizes": [4]}},
        ),
        (
            {"dynamic_batching": {"default_queue_policy": {"max_queue_size": 5}}},
            {"queue": {"max_requests": 5}},
        ),
        ({"instance_group": [{"count": 2}, {"count": 1}]}, {"instances": {"count": 3}}),
        (
            {"instance_group": [{"count": 1, "kind": "KIND_GPU", "gpus": [1]}]},
            {"instances": {"count": 1, "device": "cuda:1"}},
        ),
        ({"instance_group": []}, {}),
        ({"default_model_filename": "a.onnx"}, {"entry": "a.onnx"}),
        ({"parameters": {}, "optimization": {"graph": {"level": 0}}}, {}),
        ({"model_transaction_policy": {"decoupled": False}}, {}),
        (
            {"input": [{"name": "x", "data_type": "TYPE_STRING", "dims": ["-1"]}]},
            {"signature": {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [-1]}]}},
        ),
        (
            {"batching": {"max_queue_delay_s": 0.1}, "runtime_options": {"a": 1}},
            {"batching": {"max_queue_delay_s": 0.1}, "runtime_options": {"a": 1}},
        ),
        (
            {
                "batching": {"pad": None},
                "dynamic_batching": {"preferred_batch_size": [2]},
            },
            {"batching": {"pad": None, "preferred_batch_sizes": [2]}},
        ),
    ],
)
def test_fields(config: dict[str, Any], expected: dict[str, Any]) -> None:
    assert overrides_from_config(json.dumps(config)) == expected


@pytest.mark.parametrize(
    ("config", "kind", "text"),
    [
        (
            {"max_batchsize": 1},
            ConfigError,
            "unknown field \"max_batchsize\"; did you mean 'max_batch_size'?",
        ),
        ({"qqq": 1}, ConfigError, 'unknown field "qqq"; expected one of backend, batching'),
        ({"max_batch_size": -1}, ConfigError, "'max_batch_size' must be an integer >= 0, got -1"),
        ({"max_batch_size": True}, ConfigError, "'max_batch_size' must be an integer >= 0"),
        ({"max_batch_size": "x"}, ConfigError, 'got "x"'),
        ({"name": 1}, ConfigError, "'name' must be a string"),
        ({"backend": "tensorrt"}, ConfigError, "'backend' must be one of"),
        ({"version_policy": {"newest": {}}}, ConfigError, 'unknown field "newest"'),
        ({"version_policy": {}}, ConfigError, "one of latest, specific and all"),
        ({"version_policy": 3}, ConfigError, "'version_policy' must be an object"),
        (
            {"dynamic_batching": {"max_queue_delay": 1}},
            ConfigError,
            "did you mean 'max_queue_delay_microseconds'?",
        ),
        (
            {"dynamic_batching": {"priority_levels": 3}},
            Unsupported,
            "dynamic_batching.priority_levels",
        ),
        (
            {"dynamic_batching": {"default_queue_policy": {"timeout_action": "DELAY"}}},
            Unsupported,
            "must be REJECT",
        ),
        (
            {"dynamic_batching": {"default_queue_policy": {"size": 1}}},
            ConfigError,
            'default_queue_policy: unknown field "size"',
        ),
        ({"instance_group": {}}, ConfigError, "'instance_group' must be an array"),
        ({"instance_group": [{"kind": "KIND_MODEL"}]}, ConfigError, "instance_group.kind"),
        ({"instance_group": [{"kind": "KIND_GPU", "gpus": [0, 1]}]}, Unsupported, "one GPU"),
        (
            {"instance_group": [{"kind": "KIND_CPU"}, {"kind": "KIND_GPU"}]},
            Unsupported,
            "on one device",
        ),
        ({"instance_group": [{"profile": ["a"]}]}, Unsupported, "instance_group.profile"),
        ({"input": [{"name": "x"}]}, ConfigError, "input.data_type"),
        ({"input": [{"data_type": "TYPE_FP32"}]}, ConfigError, "input.name"),
        (
            {"input": [{"name": "x", "data_type": "TYPE_FP32", "reshape": {"shape": [1]}}]},
            Unsupported,
            "input.reshape",
        ),
        ({"sequence_batching": {"max": 1}}, Unsupported, "'sequence_batching' is not supported"),
        ({"model_transaction_policy": {"decoupled": True}}, Unsupported, "model_transaction"),
        ([], ConfigError, "'config' must be an object, got an array"),
    ],
)
def test_refusals(config: Any, kind: type[PenstockError], text: str) -> None:
    with pytest.raises(kind) as caught:
        overrides_from_config(json.dumps(config))
    assert text in caught.value.message


def test_no_json() -> None:
    with pytest.raises(InvalidArgument, match="failed to parse the config JSON buffer"):
        overrides_from_config("{")
    with pytest.raises(InvalidArgument, match="invalid UTF-8"):
        overrides_from_config("\ud800")
