"""Health, metadata, statistics and the model configuration as plain values."""

import json

import msgspec

from penstock.core.dtype import DType
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.dialects.open_inference import metadata
from penstock.dialects.open_inference.config_overrides import overrides_from_config
from penstock.dialects.open_inference.model_config import model_config
from penstock.dialects.open_inference.statistics import model_statistics
from penstock.repository.manifest import Batching, Instances, Manifest, VersionPolicyFields
from penstock.telemetry.stats import ModelStats
from tests.unit.dialects.open_inference.requests import SIGNATURE


def test_health_bodies_satisfy_both_kinds_of_clients() -> None:
    assert msgspec.json.encode(metadata.live_body()) == b'{"live":true}'
    assert msgspec.json.encode(metadata.ready_body(True)) == b'{"ready":true,"live":true}'
    assert metadata.model_ready_body("m", False) == {"name": "m", "ready": False}


def test_server_metadata_names_only_what_works() -> None:
    value = metadata.server_metadata("1.2", "triton", ["parameters"])
    assert value == {"name": "triton", "version": "1.2", "extensions": ["parameters"]}
    for missing in ("sequence", "system_shared_memory", "generate"):
        assert missing not in metadata.EXTENSIONS


def test_model_metadata_keeps_the_batch_dimension() -> None:
    assert metadata.model_metadata("m", [10, 2], "onnx", SIGNATURE) == {
        "name": "m",
        "versions": ["2", "10"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }
    assert metadata.model_metadata("m", [], "python", SIGNATURE)["platform"] == "python"


def test_models() -> None:
    assert metadata.models_body({"b", "a"}) == {"models": ["a", "b"]}


def test_statistics_have_the_protocols_names() -> None:
    stats = ModelStats("m", 3)
    stats.executed(2, 10, 20, 30)
    stats.answered(2, 100, 7)
    stats.failed("invalid_argument", 50)
    stats.last_wall_ns = 5_000_000
    entry = model_statistics([stats.snapshot()])["model_stats"][0]
    assert entry["version"] == "3"
    assert entry["last_inference"] == 5
    assert (entry["inference_count"], entry["execution_count"]) == (2, 1)
    assert entry["inference_stats"]["success"] == {"count": 1, "ns": 100}
    assert entry["inference_stats"]["fail"] == {"count": 1, "ns": 50}
    assert entry["inference_stats"]["cache_miss"] == {"count": 0, "ns": 0}
    assert entry["batch_stats"] == [
        {
            "batch_size": 2,
            "compute_input": {"count": 1, "ns": 10},
            "compute_infer": {"count": 1, "ns": 20},
            "compute_output": {"count": 1, "ns": 30},
        }
    ]
    assert (entry["memory_usage"], entry["response_stats"]) == ([], {})


def test_config_of_a_batching_model() -> None:
    manifest = Manifest(
        batching=Batching(max_queue_delay_s=0.0005, preferred_batch_sizes=(4, 8)),
        instances=Instances(count=2),
    )
    config = model_config("m", "onnx", SIGNATURE, manifest, 8, "model.onnx")
    assert config["platform"] == "onnxruntime_onnx"
    assert config["backend"] == "onnxruntime"
    assert config["version_policy"] == {"latest": {"num_versions": 1}}
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]
    assert config["instance_group"] == [{"name": "m_0", "count": 2, "kind": "KIND_CPU"}]
    assert config["dynamic_batching"]["preferred_batch_size"] == [4, 8]
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 500
    assert config["model_transaction_policy"] == {"decoupled": False}


def test_config_of_a_model_that_does_not_batch() -> None:
    spec = TensorSpec("x", DType.BYTES, (2, -1), optional=True)
    manifest = Manifest(
        version_policy=VersionPolicyFields(specific=(1, 3)), instances=Instances(device="cuda:1")
    )
    config = model_config("m", "python", ModelSignature((spec,), (), False), manifest, 0)
    assert config["input"] == [
        {"name": "x", "data_type": "TYPE_STRING", "dims": [2, -1], "optional": True}
    ]
    assert config["version_policy"] == {"specific": {"versions": [1, 3]}}
    group = {"name": "m_0", "count": 1, "kind": "KIND_GPU", "gpus": [1]}
    assert config["instance_group"] == [group]
    assert "dynamic_batching" not in config
    every = model_config("m", "python", SIGNATURE, Manifest(version_policy="all"), 0)
    assert every["version_policy"] == {"all": {}}


def test_a_config_that_comes_back_says_what_held() -> None:
    config = model_config("m", "onnx", SIGNATURE, Manifest(), 8, "model.onnx")
    assert overrides_from_config(json.dumps(config)) == {
        "runtime": "onnx",
        "version_policy": {"latest": 1},
        "max_batch_size": 8,
        "signature": {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
        },
        "instances": {"count": 1, "device": "cpu"},
        "entry": "model.onnx",
        "batching": {"preferred_batch_sizes": [], "max_queue_delay_s": 0.0},
        "queue": {"default_timeout_s": 30.0, "max_requests": 1000},
    }
