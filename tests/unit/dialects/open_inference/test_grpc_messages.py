"""gRPC messages beside inference, from the values that REST writes."""

import subprocess
import sys
from typing import Any

import pytest

from penstock.core.errors import InvalidArgument, Unsupported
from penstock.dialects.open_inference import grpc_messages, metadata
from penstock.dialects.open_inference.log_settings import LogSettings
from penstock.dialects.open_inference.model_config import model_config
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.statistics import model_statistics
from penstock.dialects.open_inference.trace_settings import TraceSettings
from penstock.repository.manifest import Manifest
from penstock.repository.manifest_file import parse_manifest
from penstock.telemetry.stats import ModelStats
from tests.unit.dialects.open_inference.requests import SIGNATURE


def test_metadata() -> None:
    server = grpc_messages.server_metadata(metadata.server_metadata("1.2"))
    assert (server.name, server.version) == ("penstock", "1.2")
    assert tuple(server.extensions) == metadata.EXTENSIONS
    model = grpc_messages.model_metadata(metadata.model_metadata("m", [2, 1], "onnx", SIGNATURE))
    assert list(model.versions) == ["1", "2"]
    assert list(model.inputs[0].shape) == [-1, 4]


def test_config() -> None:
    value = model_config("m", "onnx", SIGNATURE, Manifest(), 8, "model.onnx")
    config = grpc_messages.model_config(value).config
    assert config.max_batch_size == 8
    assert list(config.input[0].dims) == [4]
    assert config.input[0].data_type == 11
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 1000
    assert config.instance_group[0].kind == 2


def test_the_largest_numbers_a_manifest_may_hold_fit_the_config() -> None:
    manifest = parse_manifest(
        b"{max_batch_size: 2147483647, queue: {max_requests: 4294967295}, "
        b"version_policy: {latest: 4294967295}}",
        "model.yaml",
    )
    value = model_config("m", "onnx", SIGNATURE, manifest, 2147483647, "model.onnx")
    config = grpc_messages.model_config(value).config
    assert config.max_batch_size == 2147483647
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 4294967295
    assert config.version_policy.latest.num_versions == 4294967295


def test_statistics() -> None:
    stats = ModelStats("m", 3)
    stats.executed(4, 10, 20, 30)
    stats.answered(4, 100, 7)
    message = grpc_messages.model_statistics(model_statistics([stats.snapshot()]))
    model = message.model_stats[0]
    assert (model.name, model.version, model.inference_count) == ("m", "3", 4)
    assert (model.inference_stats.success.count, model.inference_stats.success.ns) == (1, 100)
    assert model.batch_stats[0].compute_infer.ns == 20


def test_index() -> None:
    message = grpc_messages.repository_index([{"name": "a"}, {"name": "b", "state": "READY"}])
    assert [(m.name, m.state) for m in message.models] == [("a", ""), ("b", "READY")]


def test_load_and_unload() -> None:
    load = pb.RepositoryModelLoadRequest(model_name="m")
    load.parameters["config"].string_param = '{"max_batch_size": "16"}'
    assert grpc_messages.read_load(load) == ("m", {"max_batch_size": 16})
    unload = pb.RepositoryModelUnloadRequest(model_name="m")
    unload.parameters["unload_dependents"].bool_param = True
    assert grpc_messages.read_unload(unload) == "m"


def test_a_message_with_field_one_only_is_numbered_as_kserve_does() -> None:
    assert grpc_messages.read_load(pb.RepositoryModelLoadRequest(repository_name="m"))[0] == "m"
    assert grpc_messages.read_unload(pb.RepositoryModelUnloadRequest(repository_name="m")) == "m"


def test_wrong_names() -> None:
    both = pb.RepositoryModelLoadRequest(repository_name="r", model_name="m")
    with pytest.raises(Unsupported, match="'repository_name' specification is not supported"):
        grpc_messages.read_load(both)
    with pytest.raises(InvalidArgument, match="Model name cannot be empty"):
        grpc_messages.read_load(pb.RepositoryModelLoadRequest())
    with pytest.raises(InvalidArgument, match="path traversal"):
        grpc_messages.read_unload(pb.RepositoryModelUnloadRequest(model_name="../m"))


def test_files_in_a_load_request_are_not_offered() -> None:
    load = pb.RepositoryModelLoadRequest(model_name="m")
    load.parameters["file:1/model.onnx"].bytes_param = b"x"
    with pytest.raises(Unsupported, match="files in the request"):
        grpc_messages.read_load(load)


def test_settings() -> None:
    trace = grpc_messages.trace_settings(TraceSettings())
    assert {name: list(v.value) for name, v in trace.settings.items()} == {
        "trace_level": ["OFF"],
        "trace_rate": ["1000"],
        "trace_count": ["-1"],
        "log_frequency": ["0"],
        "trace_file": [""],
        "trace_mode": ["triton"],
    }
    log = grpc_messages.log_settings(LogSettings())
    values = {n: getattr(v, v.WhichOneof("parameter_choice")) for n, v in log.settings.items()}
    assert values == {
        "log_file": "",
        "log_info": True,
        "log_warning": True,
        "log_error": True,
        "log_verbose_level": 0,
        "log_format": "default",
    }


def test_changes_of_settings() -> None:
    trace = pb.TraceSettingRequest()
    trace.settings["trace_rate"].value.append("5")
    trace.settings["trace_level"].SetInParent()
    assert grpc_messages.read_trace_changes(trace) == {"trace_rate": ["5"], "trace_level": None}
    log = pb.LogSettingsRequest()
    log.settings["log_info"].bool_param = False
    assert grpc_messages.read_log_changes(log) == {"log_info": False}
    log.settings["log_error"].SetInParent()
    with pytest.raises(InvalidArgument, match="parameter 'log_error' has no value"):
        grpc_messages.read_log_changes(log)


_FOREIGN = """
import sys
from {module} import {name} as theirs
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as ours
from penstock.dialects.open_inference.proto.pool import POOL

skipped = set({skipped!r})

def compare(mine, other):
    if mine.name in skipped:
        return 0
    seen = 1
    for field in mine.fields:
        where = mine.name + '.' + field.name
        foreign = other.fields_by_name.get(field.name)
        if foreign is None:
            assert where in skipped, where + ' is unknown to them'
            continue
        for what in ('number', 'type', 'is_repeated'):
            assert getattr(field, what) == getattr(foreign, what), (where, what)
        if field.message_type is not None and where not in skipped:
            seen += compare(field.message_type, foreign.message_type)
        if field.enum_type is not None:
            values = {{v.name: v.number for v in foreign.enum_type.values}}
            assert all(values[v.name] == v.number for v in field.enum_type.values), where
    return seen

count = sum(
    compare(message, theirs.DESCRIPTOR.message_types_by_name[name])
    for name, message in ours.DESCRIPTOR.message_types_by_name.items()
    if name in theirs.DESCRIPTOR.message_types_by_name
)
mine = ours.DESCRIPTOR.services_by_name['GRPCInferenceService']
other = theirs.DESCRIPTOR.services_by_name['GRPCInferenceService']
for method in other.methods:
    if method.full_name in skipped:
        continue
    same = mine.methods_by_name[method.name]
    assert same.input_type.name == method.input_type.name
    assert same.output_type.name == method.output_type.name
    assert same.client_streaming == method.client_streaming
    assert same.server_streaming == method.server_streaming

request = theirs.ModelInferRequest(model_name='m', model_version='1', id='i')
item = request.inputs.add(name='x', datatype='FP32', shape=[1, 2])
item.parameters['a'].int64_param = -1
item.contents.fp32_contents.extend([1, 2])
request.outputs.add(name='y').parameters['classification'].int64_param = 3
request.parameters['p'].string_param = 'v'
request.raw_input_contents.append(bytes(8))
wire = request.SerializeToString(deterministic=True)
assert ours.ModelInferRequest.FromString(wire).SerializeToString(deterministic=True) == wire
response = ours.ModelInferResponse(model_name='m', model_version='1', id='i')
response.outputs.add(name='y', datatype='FP32', shape=[2])
response.raw_output_contents.append(bytes(8))
back = theirs.ModelInferResponse.FromString(response.SerializeToString())
assert str(back) == str(response)
print('compared', count)
"""


@pytest.mark.parametrize(
    ("module", "name", "skipped"),
    [
        ("tritonclient.grpc", "service_pb2", ["ModelMetadataResponse.properties"]),
        (
            "kserve.protocol.grpc",
            "grpc_predict_v2_pb2",
            [
                "InferParameter.double_param",
                "InferParameter.uint64_param",
                "ModelMetadataResponse.properties",
                "RepositoryModelLoadRequest",
                "RepositoryModelUnloadRequest",
                "RepositoryModelLoadResponse",
                "RepositoryModelUnloadResponse",
            ],
        ),
    ],
)
def test_the_messages_are_wire_compatible(module: str, name: str, skipped: list[Any]) -> None:
    """In a process of its own: the two foreign packages cannot be imported together."""
    script = _FOREIGN.format(module=module, name=name, skipped=skipped)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "compared" in done.stdout


def test_the_rest_side_imports_neither_protobuf_nor_grpc() -> None:
    script = (
        "import sys\n"
        "import penstock.dialects.open_inference.rest_request\n"
        "import penstock.dialects.open_inference.rest_reply\n"
        "import penstock.dialects.open_inference.classification\n"
        "import penstock.dialects.open_inference.errors\n"
        "import penstock.dialects.open_inference.repository\n"
        "import penstock.dialects.open_inference.statistics\n"
        "import penstock.dialects.open_inference.log_settings\n"
        "import penstock.dialects.open_inference.trace_settings\n"
        "import penstock.dialects.open_inference.model_config\n"
        "print([m for m in sys.modules if m.startswith(('grpc', 'google'))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
