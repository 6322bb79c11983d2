"""BatchSpec: what a batch job's file may say, and the digest of what changes its output."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from penstock.core.byte_size import ByteSize
from penstock.jobs.batch.engine_ray import RayOptions
from penstock.jobs.batch.failure_policy import FailurePolicy
from penstock.jobs.batch.spec_inputs import FileInput
from penstock.jobs.batch.spec_outputs import FileOutput
from penstock.jobs.batch.spec_tables import (
    HttpInput,
    RedisOutput,
    SqlInput,
    SqlOutput,
    TableInput,
    TableOutput,
)
from penstock.jobs.batch.transform import TransformSpec
from penstock.jobs.model_ref import ModelRef
from penstock.stores.store_url import without_password

_Name = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=1)]

InputSpec: TypeAlias = FileInput | TableInput
OutputSpec: TypeAlias = FileOutput | TableOutput


class JobFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A job without its input and its output, whose fields depend on their ``format``.

    Attributes:
        name: the job's, for its report and its folder.
        model: who predicts.
        columns: input of the model to the column that it takes, or to columns side by side; an
            input that is not named takes the column of its own name.
        transform: what changes the rows before they are predicted; None: nothing does.
        keep: columns that go along to the output.
        rename: an output of the model, or a kept column, to the name that it is written under.
        binary: BYTES outputs of the model that are no text.
        batch_size: the most rows that the model is given together; ``auto``: the job finds the
            fastest.
        split_rows: about how many rows are read, predicted and written as one.
        memory: what the job may hold beside its models.
        on_error: what becomes of rows and files that are bad.
        engine: what does the splits: ``local``: threads of this process; ``processes``: processes
            of this machine; ``ray``: a cluster.
        workers: copies of the model that compute at once.
        ray: how a cluster is used.
        schedule: when ``penstock batch schedule`` runs it: a cron expression; None: it has none.
        state: the folder of this machine where the job keeps what it has done; None: ``_job`` in
            the output, where that is a folder here, else ``.penstock-jobs/NAME``.
    """

    name: _Name
    model: ModelRef
    columns: dict[_Name, _Name | tuple[_Name, ...]] = {}
    transform: TransformSpec | None = None
    keep: tuple[_Name, ...] = ()
    rename: dict[_Name, _Name] = {}
    binary: tuple[_Name, ...] = ()
    batch_size: _Count | Literal["auto"] = "auto"
    split_rows: _Count = 100_000
    memory: ByteSize = ByteSize(1024**3)
    on_error: FailurePolicy = FailurePolicy()
    engine: Literal["local", "processes", "ray"] = "local"
    workers: _Count = 1
    ray: RayOptions = RayOptions()
    schedule: _Name | None = None
    state: _Name | None = None


class BatchSpec(JobFields, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole job.

    Attributes:
        input: what is read.
        output: where predictions are written.
    """

    input: InputSpec
    output: OutputSpec


INPUTS: dict[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(InputSpec)
}
"""What can be read, by its ``format``."""

OUTPUTS: dict[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(OutputSpec)
}
"""What can be written, by its ``format``."""


def spec_digest(spec: BatchSpec, transform_digest: str) -> str:
    """The sha256 (hex) of those fields that change what is written. Pure.

    How it is done (batch size, memory, engine, workers, errors, schedule) changes nothing, and the
    model has a digest of its own.

    Args:
        spec: the job.
        transform_digest: of what its transform does, its code too.
    """
    told: list[Any] = [
        _without_password(spec.input),
        _without_password(spec.output),
        spec.columns,
        transform_digest,
        spec.keep,
        spec.rename,
        spec.binary,
        spec.split_rows,
    ]
    return hashlib.sha256(msgspec.json.encode(told, enc_hook=int, order="sorted")).hexdigest()


def _without_password(spec: InputSpec | OutputSpec) -> InputSpec | OutputSpec:
    """The same place for whomever: another password is no other job."""
    if isinstance(spec, SqlInput | HttpInput | SqlOutput | RedisOutput):
        return msgspec.structs.replace(spec, url=without_password(spec.url))
    return spec
