"""Manifest: what ``model.yaml`` may say. Every field is optional; unknown ones are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from penstock.core.byte_size import ByteSize

MANIFEST_NAME = "model.yaml"
"""The manifest's name in a model's folder."""

__all__ = [
    "Batching",
    "ByteSize",
    "Instances",
    "MANIFEST_NAME",
    "Manifest",
    "Pad",
    "Queue",
    "ResponseCache",
    "SignatureFields",
    "StageThreads",
    "Stages",
    "TensorField",
    "VersionPolicyFields",
    "Warmup",
]

_Count = Annotated[int, Meta(ge=1)]
_CountOrZero = Annotated[int, Meta(ge=0)]
_Int32OrZero = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_UInt32Count = Annotated[int, Meta(ge=1, le=2**32 - 1)]
"""What the protocol's ModelConfig carries in 32 bits."""

_Name = Annotated[str, Meta(min_length=1)]
_YEAR_S = 365 * 24 * 3600
_Seconds = Annotated[float, Meta(gt=0, le=_YEAR_S)]
_SecondsOrZero = Annotated[float, Meta(ge=0, le=_YEAR_S)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An immutable value that refuses fields it does not know."""


class Pad(_Strict, frozen=True):
    """Padding of variable-length inputs, so that requests of different lengths share a batch.

    Attributes:
        axis: the axis that varies, counted with the batch dimension as 0; >= 1.
        to_multiple_of: the padded length is rounded up to a multiple of this, for engines that
            like few different shapes.
        bucket_width: requests share a batch with the oldest one when their lengths differ from its
            own by at most this, the nearest first, so that little is computed for padding; >= 1.
        value: the number that fills; BYTES are filled with "".
        inputs: names of the inputs to pad; empty: every input whose axis is free.
    """

    axis: _Count = 1
    to_multiple_of: _Count = 1
    bucket_width: _Count = 16
    value: float = 0
    inputs: tuple[str, ...] = ()


class Batching(_Strict, frozen=True):
    """How waiting requests merge.

    Attributes:
        max_queue_delay_s: how long the oldest request may wait for company while an instance is
            idle, in seconds; 0: an idle instance takes what waits at once.
        preferred_batch_sizes: sizes that end the wait early, in rows.
        pad: padding of variable-length inputs; None: only equal shapes merge.
    """

    max_queue_delay_s: _SecondsOrZero = 0.0
    preferred_batch_sizes: tuple[_Count, ...] = ()
    pad: Pad | None = None


class Queue(_Strict, frozen=True):
    """The bounds of the queue in front of the instances.

    Attributes:
        max_requests: requests that may wait; one more is refused at once.
        max_bytes: bytes of inputs that may wait.
        default_timeout_s: the deadline of a request that brings none, in seconds.
    """

    max_requests: _UInt32Count = 1000
    max_bytes: ByteSize = ByteSize(256 * 1024 * 1024)
    default_timeout_s: _Seconds = 30.0


class Instances(_Strict, frozen=True):
    """How many copies of the model compute, and where.

    Attributes:
        count: copies, >= 1.
        kind: what runs a copy: ``thread``, or ``process``, a worker process of its own.
        threads_per_instance: threads of the engine inside one copy; 0: the engine's own choice.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        inline: ``auto``: run on the event loop when measured to be fast enough;
            ``never``: always on the instance's own thread.
        idempotent: whether a batch whose worker died may be computed once more, each request of
            it alone; False: it fails at once.
        python: a virtual environment (or interpreter) for the workers, relative to the model's
            folder; None: the server's own.
        env: environment variables of the workers, beside the server's.
        working_dir: where they start, relative to the model's folder; None: where the server did.
        max_memory: resident memory at which a worker is killed; None: there is no limit.
        cpus: processors each worker may use; 0: all.
        kill_after_s: a worker is killed once its batch is past every deadline and has run for so
            long, in seconds.
    """

    count: _Count = 1
    kind: Literal["thread", "process"] = "thread"
    threads_per_instance: _CountOrZero = 1
    device: str = "cpu"
    inline: Literal["auto", "never"] = "auto"
    idempotent: bool = False
    python: _Name | None = None
    env: dict[_Name, str] = {}
    working_dir: _Name | None = None
    max_memory: ByteSize | None = None
    cpus: _CountOrZero = 0
    kill_after_s: _Seconds = 10.0


PROCESS_FIELDS = (
    *("idempotent", "python", "env", "working_dir"),
    *("max_memory", "cpus", "kill_after_s"),
)
"""Fields of ``Instances`` that mean something for processes only."""


class StageThreads(_Strict, frozen=True):
    """The threads of one stage of a Python model.

    Attributes:
        count: batches that may be in this stage at once, those of all copies together.
    """

    count: _Count = 1


class Stages(_Strict, frozen=True):
    """Which stages of a Python model have threads of their own, apart from those of ``predict``.

    Attributes:
        preprocess: its threads; None: it runs on those of ``predict``.
        postprocess: as for ``preprocess``.
    """

    preprocess: StageThreads | None = None
    postprocess: StageThreads | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Threads of each stage that has its own; empty: none has."""
        named = {"preprocess": self.preprocess, "postprocess": self.postprocess}
        return {name: threads.count for name, threads in named.items() if threads is not None}


class VersionPolicyFields(_Strict, frozen=True):
    """Which versions serve: one of the two.

    Attributes:
        latest: the newest n; the default is 1.
        specific: just these versions.
    """

    latest: _UInt32Count | None = None
    specific: tuple[_CountOrZero, ...] | None = None


class TensorField(_Strict, frozen=True):
    """One input or output as the manifest writes it.

    Attributes:
        name: its name.
        datatype: Open Inference datatype, such as FP32.
        shape: full shape, batch dimension included; -1: any size.
        optional: whether a request may leave it out.
        labels: class names of the last dimension.
        description: one line for people.
    """

    name: _Name
    datatype: str
    shape: tuple[Annotated[int, Meta(ge=-1)], ...]
    optional: bool = False
    labels: tuple[str, ...] = ()
    description: str = ""


class SignatureFields(_Strict, frozen=True):
    """The signature as the manifest writes it; each part replaces what the artifact says."""

    inputs: tuple[TensorField, ...] = ()
    outputs: tuple[TensorField, ...] = ()


class ResponseCache(_Strict, frozen=True):
    """Answers that are given again. For models whose answer depends on their inputs alone.

    Attributes:
        ttl_s: seconds until an answer is computed anew.
        max_response_bytes: larger answers are not kept.
    """

    ttl_s: _Seconds = 60.0
    max_response_bytes: ByteSize = ByteSize(1024 * 1024)


class Warmup(_Strict, frozen=True):
    """An example to run before a version is ready.

    Attributes:
        file: a V2 JSON inference request, relative to the version's folder or the model's.
        count: how often to run it.
    """

    file: _Name
    count: _Count = 1


class Manifest(_Strict, frozen=True):
    """``model.yaml``.

    Attributes:
        runtime: its name, such as ``onnx``; None: inferred from the artifact.
        entry: the artifact inside the version's folder, for Python ``file.py:Class``;
            None: found by its name or ending.
        description: one line for people.
        max_batch_size: the most rows one execution takes; 0: the model takes no batch dimension;
            None: 32 where the signature has a free first dimension everywhere, else 0.
        batching: how waiting requests merge.
        queue: the bounds of the queue.
        instances: how many copies compute, and where.
        stages: which stages of a Python model have threads of their own.
        version_policy: which versions serve.
        labels: version label to version number.
        response_cache: answers that are given again; None: each request is computed.
        keep_loaded: whether it stays in memory where models are loaded on demand.
        warmup: examples to run before ready; None: one is made from the signature.
        signature: where the artifact does not hold one, or to name labels.
        runtime_options: what only this runtime knows; checked by the runtime.
    """

    runtime: _Name | None = None
    entry: _Name | None = None
    description: str = ""
    max_batch_size: _Int32OrZero | None = None
    batching: Batching = Batching()
    queue: Queue = Queue()
    instances: Instances = Instances()
    stages: Stages = Stages()
    version_policy: VersionPolicyFields | Literal["all"] = VersionPolicyFields(latest=1)
    labels: dict[_Name, _CountOrZero] = {}
    response_cache: ResponseCache | None = None
    keep_loaded: bool = False
    warmup: tuple[Warmup, ...] | None = None
    signature: SignatureFields = SignatureFields()
    runtime_options: dict[str, Any] = {}
