"""RemotePredictors against a gRPC server that answers by script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import pytest

from penstock.app.jobs.remote_predictors import RemotePredictors
from penstock.app.jobs.server_calls import ServerCalls
from penstock.core.errors import (
    ConfigError,
    DeadlineExceeded,
    MalformedAnswer,
    ModelFailed,
    NotFound,
    NotReady,
    PenstockError,
)
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.jobs.model_ref import ModelRef

METHODS = {
    "ModelMetadata": pb.ModelMetadataRequest,
    "ModelConfig": pb.ModelConfigRequest,
    "ModelInfer": pb.ModelInferRequest,
}


class Script(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """A server of one model ``m`` that doubles, until a test says otherwise.

    Attributes:
        failures: statuses that the next inferences get instead of an answer.
        asked: every request of an inference.
    """

    def __init__(self) -> None:
        self.failures: list[grpc.StatusCode] = []
        self.asked: list[Any] = []
        self.shape = [-1, 2]
        self.versions = ["1", "2"]
        self.config = pb.ModelConfigResponse()
        self.config.config.name = "m"
        self.has_config = True
        self.answer: Callable[[Any], Any] = self.doubled

    def service(self, call: Any) -> Any:
        name = call.method.rpartition("/")[2]
        handle = {
            "ModelMetadata": self.metadata,
            "ModelConfig": self.configuration,
            "ModelInfer": self.infer,
        }.get(name)
        if handle is None:
            return None
        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=METHODS[name].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def metadata(self, request: Any, context: Any) -> Any:
        if request.name != "m":
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model '{request.name}'")
        versions = [request.version] if request.version.isdecimal() else self.versions
        answer = pb.ModelMetadataResponse(name="m", versions=versions, platform="python")
        answer.inputs.add(name="x", datatype="FP32", shape=self.shape)
        answer.outputs.add(name="y", datatype="FP32", shape=self.shape)
        return answer

    def configuration(self, request: Any, context: Any) -> Any:
        if not self.has_config:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        return self.config

    def infer(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        if self.failures:
            context.abort(self.failures.pop(0), "as scripted")
        return self.answer(request)

    def doubled(self, request: Any) -> Any:
        values = np.frombuffer(request.raw_input_contents[0], np.float32) * 2
        answer = pb.ModelInferResponse(model_name="m", model_version=request.model_version)
        answer.outputs.add(name="y", datatype="FP32", shape=request.inputs[0].shape)
        answer.raw_output_contents.append(values.tobytes())
        return answer


class Served:
    """A running script, and where."""

    def __init__(self, script: Script, url: str) -> None:
        self.script = script
        self.url = url

    def open(self, **fields: Any) -> RemotePredictors:
        return RemotePredictors(ModelRef(**{"url": self.url, "name": "m", **fields}))


@pytest.fixture
def served() -> Iterator[Served]:
    script = Script()
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[script])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Served(script, f"grpc://127.0.0.1:{port}")
    server.stop(None).wait()


def rows(*values: list[float]) -> tuple[Tensor, ...]:
    return (Tensor.from_array("x", np.array(values, np.float32)),)


def test_it_asks_the_version_it_found_whatever_comes_later(served: Served) -> None:
    predictors = served.open()
    served.script.versions = ["3"]
    predictor = predictors.open()
    result = predictor.predict(rows([1, 2], [3, 4]))
    assert result.outputs[0].array.tolist() == [[2, 4], [6, 8]]
    assert predictors.identity.version == 2
    assert served.script.asked[0].model_version == "2"
    predictor.close()


def test_an_exported_batch_of_one_is_sent_row_by_row(served: Served) -> None:
    served.script.shape = [1, 2]
    predictors = served.open()
    assert predictors.signature.inputs[0].shape == (-1, 2)
    predictor = predictors.open()
    assert predictor.predict(rows([1, 2], [3, 4])).outputs[0].array.tolist() == [[2, 4], [6, 8]]
    assert [list(one.inputs[0].shape) for one in served.script.asked] == [[1, 2], [1, 2]]
    predictor.close()


def test_typed_contents_are_read_too(served: Served) -> None:
    def typed(request: Any) -> Any:
        answer = pb.ModelInferResponse(model_name="m")
        item = answer.outputs.add(name="y", datatype="FP32", shape=[1, 2])
        item.contents.fp32_contents.extend([5, 6])
        return answer

    served.script.answer = typed
    predictor = served.open().open()
    assert predictor.predict(rows([1, 2])).outputs[0].array.tolist() == [[5, 6]]
    predictor.close()


def test_what_may_pass_is_tried_again_and_no_oftener_than_said(served: Served) -> None:
    waited: list[float] = []
    calls = ServerCalls(ModelRef(url=served.url, name="m", attempts=3), waited.append)
    body = pb.ModelInferRequest(model_name="m", raw_input_contents=[b""])
    body.inputs.add(name="x", datatype="FP32", shape=[0, 2])
    served.script.failures = [grpc.StatusCode.UNAVAILABLE] * 2
    assert calls.call("ModelInfer", body.SerializeToString())
    assert len(waited) == 2
    served.script.failures = [grpc.StatusCode.UNAVAILABLE] * 3
    with pytest.raises(NotReady, match="as scripted"):
        calls.call("ModelInfer", body.SerializeToString())
    assert served.script.failures == []
    calls.close()


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (grpc.StatusCode.INTERNAL, ModelFailed, "as scripted"),
        (grpc.StatusCode.INVALID_ARGUMENT, ModelFailed, "a row was refused: .*as scripted"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ModelFailed, "set a smaller 'batch_size'"),
        (grpc.StatusCode.NOT_FOUND, NotFound, "as scripted"),
        (grpc.StatusCode.UNAVAILABLE, NotReady, "as scripted"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded, "within 60 s"),
    ],
)
def test_a_status_becomes_an_error(
    served: Served, status: grpc.StatusCode, error: type[PenstockError], text: str
) -> None:
    predictor = served.open(attempts=1).open()
    served.script.failures = [status]
    with pytest.raises(error, match=text):
        predictor.predict(rows([1, 2], [3, 4]))
    predictor.close()


def test_a_row_that_is_refused_alone_is_invalid(served: Served) -> None:
    predictor = served.open().open()
    served.script.failures = [grpc.StatusCode.INVALID_ARGUMENT]
    result = predictor.predict(rows([1, 2]))
    assert "as scripted" in result.invalid[0].reason
    assert result.outputs[0].shape == (0, 2)
    predictor.close()


def test_a_call_that_takes_too_long_is_given_up(served: Served) -> None:
    held = futures.Future[None]()
    served.script.answer = lambda request: held.result(10)
    predictor = served.open(attempts=1, timeout_s=0.2).open()
    with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.2 s"):
        predictor.predict(rows([1, 2]))
    held.set_result(None)
    predictor.close()


def test_an_answer_without_an_output_is_malformed(served: Served) -> None:
    served.script.answer = lambda request: pb.ModelInferResponse(model_name="m")
    predictor = served.open().open()
    with pytest.raises(MalformedAnswer, match="expected 'y' too"):
        predictor.predict(rows([1, 2]))
    predictor.close()


def test_the_digest_is_of_what_the_server_tells_of_the_version(served: Served) -> None:
    first = served.open(version=1).identity.digest
    script = served.script
    script.versions = ["1", "2", "3"]
    script.config.config.instance_group.add(count=9)
    assert served.open(version=1).identity.digest == first
    assert served.open(version=2).identity.digest != first
    script.config.config.parameters["a"].string_value = "b"
    changed = served.open(version=1).identity.digest
    assert changed != first
    script.has_config = False
    assert served.open(version=1).identity.digest not in (first, changed)
    script.shape = [-1, 3]
    assert served.open(version=1).identity.digest not in (first, changed)


def test_a_model_that_is_not_there(served: Served) -> None:
    with pytest.raises(NotFound, match="no model 'n'"):
        served.open(name="n")


def test_nobody_answers() -> None:
    with pytest.raises(NotReady, match=r"^grpc://127\.0\.0\.1:1: no server .*start one"):
        RemotePredictors(ModelRef(url="grpc://127.0.0.1:1", name="m", attempts=1))


@pytest.mark.parametrize("url", ["http://h:8080", "grpc://h", "grpc://:1", "grpc://h:port", "h"])
def test_what_is_no_grpc_address(url: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.url: expected a server's gRPC address such as"):
        RemotePredictors(ModelRef(url=url, name="m"))
