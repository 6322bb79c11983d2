"""RemotePredictors: the model of a server that runs, asked over V2 gRPC."""

from __future__ import annotations

import hashlib

from penstock.app.jobs.executions import Executions
from penstock.app.jobs.row_rule import RowRule, no_rows
from penstock.app.jobs.server_calls import ServerCalls
from penstock.core.errors import (
    InvalidArgument,
    InvalidInput,
    ModelFailed,
    TooLarge,
    Unsupported,
)
from penstock.core.ids import ServableId
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference.grpc_client import encode_request, read_answer, read_signature
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto.model_config_pb2 import ModelConfig
from penstock.jobs.model_ref import ModelRef
from penstock.jobs.predictor import ModelIdentity
from penstock.runtime.executable import ExecuteResult
from penstock.scheduler.batch import Tensors

_NOT_THE_MODEL = ("version_policy", "instance_group", "dynamic_batching")
"""Fields of a ModelConfig that change how a model is served, and not what it answers."""


class RemotePredictors:
    """A ``jobs.Predictors`` of a server's model.

    The version is settled when this is made, and named in every call: a newer one that the server
    loads meanwhile answers none of them.

    Law of the digest: it is that of all the server tells of this version: name, number, platform,
    tensors, and its configuration where there is one. That is weaker than a digest of the files:
    other weights under the same number are not seen.

    Args:
        ref: with a ``url``.

    Attributes:
        identity: which model it is.
        signature: what it takes and gives, every tensor ``[rows, ...]``.

    Raises:
        ConfigError: the URL is no gRPC address.
        NotReady, NotFound: no server answers there, or it has no such model.
        MalformedAnswer: the server tells nonsense.

    Concurrency: any thread; blocks.
    """

    def __init__(self, ref: ModelRef) -> None:
        self._ref = ref
        calls = ServerCalls(ref)
        try:
            version = str(ref.version)
            metadata = _metadata(calls, ref.name, version)
            config = _config(calls, ref.name, version)
        finally:
            calls.close()
        number = _number(version, list(metadata.versions))
        optional = [item.name for item in config.input if item.optional]
        self._rule = RowRule.of(read_signature(metadata, optional), None)
        self._version = str(number) if number else ""
        self.signature: ModelSignature = self._rule.signature
        self.identity = ModelIdentity(ref.name, number, _digest(metadata, config, number))

    def open(self) -> RemotePredictor:
        """A further connection; calls over it run beside those over the others."""
        return RemotePredictor(ServerCalls(self._ref), self.identity, self._version, self._rule)

    def close(self) -> None:
        """Nothing is shared."""


class RemotePredictor:
    """A ``jobs.Predictor``: one connection, one call at a time.

    Args:
        calls: the connection.
        identity: the model.
        version: what its calls name; "": the server's choice.
        rule: what a row is to the model.
    """

    def __init__(
        self, calls: ServerCalls, identity: ModelIdentity, version: str, rule: RowRule
    ) -> None:
        self._calls = calls
        self._name = identity.name
        self._version = version
        self._rule = rule
        id_ = ServableId(identity.name, identity.version)
        self._executions = Executions(id_, rule, None, self._run)

    def predict(self, inputs: tuple[Tensor, ...]) -> ExecuteResult:
        """See ``jobs.Predictor.predict``.

        A server says of a batch only that one of its rows is refused: that is ModelFailed, and
        told apart when a row is sent alone.
        """
        return self._executions.predict(inputs)

    def close(self) -> None:
        """End the connection."""
        self._calls.close()

    def _run(self, inputs: Tensors) -> ExecuteResult:
        body = encode_request(self._name, self._version, inputs)
        rows = inputs[0].shape[0] if self._rule.model.batched else self._rule.limit
        try:
            answer = self._calls.call("ModelInfer", body)
        except InvalidArgument as err:
            if rows == 1:
                return ExecuteResult(no_rows(self._rule.signature), {0: InvalidInput(0, str(err))})
            raise ModelFailed(f"a row was refused: {err.message}") from err
        except TooLarge as err:
            raise ModelFailed(f"{err.message}; set a smaller 'batch_size'") from err
        return ExecuteResult(read_answer(answer, self._rule.model))


def _metadata(calls: ServerCalls, name: str, version: str) -> pb.ModelMetadataResponse:
    question = pb.ModelMetadataRequest(name=name, version=version)
    answer = calls.call("ModelMetadata", question.SerializeToString())
    return pb.ModelMetadataResponse.FromString(answer)


def _config(calls: ServerCalls, name: str, version: str) -> ModelConfig:
    """The model's configuration; empty where the server does not tell it."""
    question = pb.ModelConfigRequest(name=name, version=version)
    try:
        answer = calls.call("ModelConfig", question.SerializeToString())
    except Unsupported:  # an extension: not every V2 server has it
        return pb.ModelConfigResponse().config
    return pb.ModelConfigResponse.FromString(answer).config


def _number(version: str, told: list[str]) -> int:
    """The version's number; 0: the server numbers none."""
    if version.isdecimal():
        return int(version)
    return max((int(text) for text in told if text.isdecimal()), default=0)


def _digest(metadata: pb.ModelMetadataResponse, config: ModelConfig, number: int) -> str:
    config.DiscardUnknownFields()
    for field in _NOT_THE_MODEL:
        config.ClearField(field)
    del metadata.versions[:]
    serialized = (message.SerializeToString(deterministic=True) for message in (metadata, config))
    digest = hashlib.sha256(b"%d:" % number)
    for part in serialized:
        digest.update(b"%d:%b" % (len(part), part))
    return digest.hexdigest()
