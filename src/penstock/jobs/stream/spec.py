"""StreamSpec: what STREAM.yaml says, and how it is read. Pure but for the file's bytes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from penstock.core.byte_size import ByteSize
from penstock.core.errors import ConfigError
from penstock.jobs.model_ref import ModelRef
from penstock.jobs.stream.spec_brokers import (
    KafkaInput,
    KafkaOutput,
    NatsInput,
    NatsOutput,
    RabbitInput,
    RabbitOutput,
)
from penstock.jobs.stream.spec_loop import check_no_loop
from penstock.jobs.stream.spec_redis import RedisInput, RedisOutput
from penstock.repository.manifest_shape import check_names, check_shape, describe, nearest
from penstock.repository.spec_file import read_fields, to_struct

Input: TypeAlias = KafkaInput | NatsInput | RabbitInput | RedisInput
Output: TypeAlias = KafkaOutput | NatsOutput | RabbitOutput | RedisOutput

_AtLeastOne = Annotated[int, Meta(ge=1, le=1_000_000)]
_NonNegative = Annotated[float, Meta(ge=0)]
_Text = Annotated[str, Meta(min_length=1)]
_Port = Annotated[int, Meta(ge=0, le=65535)]


class MicroBatchSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many records go together.

    Attributes:
        max_records: the most of one micro-batch.
        max_delay_s: how long the first one waits for company; 0: it goes with what is there,
            and others gather while it is predicted.
    """

    max_records: _AtLeastOne = 256
    max_delay_s: _NonNegative = 0.0


class OnErrorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of records that cannot be predicted.

    Attributes:
        poison: they become dead letters, are dropped, or stop the stream.
        max_attempts: how often a record is tried while it may pass (its worker dies, its time
            runs out), and how often it may be delivered, where the broker counts that.
        stop_after: so many one after the other stop the stream; 0: they never do.
        initial_backoff_s: the most to wait after a first failure, in seconds; it doubles.
        max_backoff_s: the most to wait after any, in seconds.
    """

    poison: Literal["dead_letter", "drop", "stop"] = "dead_letter"
    max_attempts: _AtLeastOne = 5
    stop_after: Annotated[int, Meta(ge=0)] = 1000
    initial_backoff_s: Annotated[float, Meta(gt=0)] = 0.1
    max_backoff_s: Annotated[float, Meta(gt=0)] = 10.0


class MetricsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the metrics are shown.

    Attributes:
        port: of ``/metrics``; 0: any that is free.
        host: the address to bind.
    """

    port: _Port
    host: str = "127.0.0.1"


class StreamSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One stream.

    Attributes:
        name: of the stream, in metrics and logs.
        source: where records come from.
        model: which model predicts them.
        sink: where answers go.
        columns: a model's input from a field of the value, or from several side by side; an input
            that is not named takes the field of its name.
        keep: fields of the value that go along with the answer.
        rename: an output's name to its field in the answer.
        decode: ``file.py:function``, a user's own reading of a record; "": JSON.
        encode: ``file.py:function``, a user's own form of an answer; "": JSON.
        dead_letters: where records go that cannot be predicted.
        micro_batch: how many go together.
        in_flight: micro-batches that are under way at once.
        max_bytes: about the most that all records under way may hold.
        on_error: what becomes of records that cannot be predicted.
        delivery: ``exactly_once`` where source and sink can do it together.
        predict_timeout_s: how long a micro-batch may take in the model, in seconds.
        drain_timeout_s: how long what is under way may take at the end, in seconds.
        metrics: where they are shown; null: nowhere.
    """

    name: _Text
    source: Input
    model: ModelRef
    sink: Output
    columns: Mapping[str, str | tuple[str, ...]] = {}
    keep: tuple[str, ...] = ()
    rename: Mapping[str, str] = {}
    decode: str = ""
    encode: str = ""
    dead_letters: Output | None = None
    micro_batch: MicroBatchSpec = MicroBatchSpec()
    in_flight: _AtLeastOne = 4
    max_bytes: ByteSize = ByteSize(64 * 1024 * 1024)
    on_error: OnErrorSpec = OnErrorSpec()
    delivery: Literal["at_least_once", "exactly_once"] = "at_least_once"
    predict_timeout_s: Annotated[float, Meta(gt=0)] = 60.0
    drain_timeout_s: _NonNegative = 30.0
    metrics: MetricsSpec | None = None


def read_stream(content: bytes, source: str) -> StreamSpec:
    """Make a StreamSpec of a file's bytes.

    Args:
        content: UTF-8 YAML.
        source: what errors call it, such as the file's path.

    Raises:
        ConfigError: not YAML; an unknown or missing field, a wrong type or range; fields that do
            not go together. The message is ``source: $.path: what was expected, what came``.
    """
    data = read_fields(content, source)
    check_names(data, source, StreamSpec.__struct_fields__)
    _check_broker(data, "source", get_args(Input), source)
    _check_broker(data, "sink", get_args(Output), source)
    if data.get("dead_letters") is not None:
        _check_broker(data, "dead_letters", get_args(Output), source)
    check_shape(_without_brokers(data), source, _Plain)
    spec = to_struct(data, StreamSpec, source)
    spec.model.check(f"{source}: $.model")
    if spec.model.max_batch_size is not None:
        raise ConfigError(
            f"{source}: $.model.max_batch_size: of batch jobs only: records of a stream are merged "
            "as the model's model.yaml says; leave it out"
        )
    if spec.on_error.poison == "dead_letter" and spec.dead_letters is None:
        raise ConfigError(
            f"{source}: $.dead_letters: missing: say where records go that cannot be predicted, "
            "or what else becomes of them (on_error: {poison: drop} or {poison: stop})"
        )
    check_no_loop(spec.source, spec.sink, f"{source}: $.sink")
    if spec.dead_letters is not None:
        check_no_loop(spec.source, spec.dead_letters, f"{source}: $.dead_letters")
    return spec


_BROKERS: Final = MappingProxyType(
    {
        "source": "{broker: redis, stream: tweets, group: sentiment}",
        "sink": "{broker: redis, stream: sentiments}",
        "dead_letters": "{broker: redis, stream: tweets.dead}",
    }
)
"""The fields that say where to, each with an example."""
_Plain = msgspec.defstruct(
    "_Plain",
    [
        (field.name, field.type)
        if field.required
        else (field.name, field.type, msgspec.field(default_factory=field.default_factory))
        if field.default is msgspec.NODEFAULT
        else (field.name, field.type, field.default)
        for field in msgspec.structs.fields(StreamSpec)
        if field.name not in _BROKERS
    ],
    kw_only=True,
)
"""A stream without its brokers, whose fields depend on what ``broker`` says."""


def _without_brokers(data: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: value for name, value in data.items() if name not in _BROKERS}


def _check_broker(
    data: Mapping[Any, Any], name: str, kinds: tuple[type[msgspec.Struct], ...], source: str
) -> None:
    """Check the fields of a source or a sink against those of its broker."""
    path = f"$.{name}"
    if name not in data:
        raise ConfigError(f"{source}: {path}: missing, expected a mapping such as {_BROKERS[name]}")
    door = data[name]
    if not isinstance(door, dict):
        raise ConfigError(f"{source}: {path}: expected a mapping, got {describe(door)}")
    known = {str(kind.__struct_config__.tag): kind for kind in kinds}
    broker = door.get("broker")
    if broker not in known:
        got = "missing" if broker is None else f"unknown, got {describe(broker)}"
        raise ConfigError(f"{source}: {path}.broker: {got}; {nearest(str(broker), known)}")
    fields = {key: value for key, value in door.items() if key != "broker"}
    check_shape(fields, source, known[broker], path)
