"""From what a client asks for to a job as ``penstock batch run`` knows it. Pure."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from penstock.app.settings import JobsSettings
from penstock.core.errors import ConfigError, InvalidArgument
from penstock.jobs.batch.spec import BatchSpec
from penstock.jobs.batch.spec_file import read_spec
from penstock.jobs.batch.spec_inputs import FileInput
from penstock.jobs.batch.spec_outputs import FileOutput
from penstock.repository.manifest_shape import describe, nearest

FIELDS = (
    "id",
    "name",
    "model",
    "input",
    "output",
    "columns",
    "keep",
    "rename",
    "binary",
    "batch_size",
    "split_rows",
    "memory",
    "on_error",
    "workers",
)
"""What a job over HTTP may say; the others are of jobs that somebody runs on this machine."""

_NOT_HERE = frozenset({"transform", "engine", "ray", "schedule", "state"})
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SOURCE = "job"


class JobRequest(NamedTuple):
    """What a client asks for.

    Attributes:
        id: the job's.
        model: the model's name.
        version: a number, a label, or "": the one that answers now.
        fields: the others, as the job's file has them.
        digest: of all of it, but for the id.
    """

    id: str
    model: str
    version: str
    fields: dict[str, Any]
    digest: str


def read_request(told: Mapping[str, Any], key: str) -> JobRequest:
    """Read the fields of a request.

    Args:
        told: the fields.
        key: the id that a header gives; "": none.

    Raises:
        ConfigError: a field is unknown, missing, or not offered over HTTP.
        InvalidArgument: the id is none.
    """
    for name in told:
        if name in _NOT_HERE:
            raise ConfigError(
                f"{_SOURCE}: $.{name}: is not offered over HTTP; run the job with "
                "'penstock batch run'"
            )
        if name not in FIELDS:
            raise ConfigError(f"{_SOURCE}: $.{name}: unknown field, {nearest(name, FIELDS)}")
    fields = {name: value for name, value in told.items() if name not in ("id", "model")}
    job_id = _job_id(told.get("id", ""), key)
    model, version = _model(told.get("model"))
    fields.setdefault("name", job_id)
    return JobRequest(job_id, model, version, fields, digest_of(told))


def digest_of(told: Mapping[str, Any]) -> str:
    """The sha256 (hex) of what is asked for, whatever its id."""
    plain = {name: value for name, value in told.items() if name != "id"}
    return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()


def check_spec(data: Mapping[str, Any], settings: JobsSettings) -> BatchSpec:
    """See that a job fits what this server lets jobs do; where its files are is not looked at.

    Args:
        data: the job, whole.
        settings: how much it may ask for.

    Raises:
        ConfigError: a field is wrong, or asks for too much.
    """
    spec = read_spec(data, _SOURCE)
    for name, value, kinds in (
        ("input", spec.input, FileInput),
        ("output", spec.output, FileOutput),
    ):
        if not isinstance(value, kinds):
            raise ConfigError(
                f"{_SOURCE}: $.{name}.format: over HTTP jobs read and write files, got "
                f"'{value.__struct_config__.tag}'; run the job with 'penstock batch run'"
            )
    for name, got, most in (
        ("memory", spec.memory, settings.max_memory_bytes),
        ("workers", spec.workers, settings.max_workers),
    ):
        if got > most:
            setting = "max_memory_bytes" if name == "memory" else "max_workers"
            raise ConfigError(
                f"{_SOURCE}: $.{name}: expected at most {int(most)}, got {int(got)}: the setting "
                f"jobs.{setting} of the server"
            )
    return spec


def _job_id(told: Any, key: str) -> str:
    if told and key and told != key:
        raise InvalidArgument("the job's 'id' and the header Idempotency-Key are not the same")
    job_id = told or key or uuid.uuid4().hex
    if not isinstance(job_id, str) or _ID.fullmatch(job_id) is None:
        raise InvalidArgument(
            "a job's id: expected up to 64 letters, digits, '.', '_' and '-', a letter or digit "
            f"first, got {describe(job_id)}"
        )
    return job_id


def _model(told: Any) -> tuple[str, str]:
    """Name and version of the model."""
    where = f"{_SOURCE}: $.model"
    if isinstance(told, dict):
        for name in told:
            if name not in ("name", "version"):
                raise ConfigError(
                    f"{where}.{name}: over HTTP a job's model is one that this server serves: "
                    "expected 'name' and 'version'"
                )
        name, version = told.get("name"), told.get("version", "")
    else:
        name, version = told, ""
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{where}: expected the name of a model, got {describe(name)}")
    if not isinstance(version, int | str) or isinstance(version, bool):
        raise ConfigError(f"{where}.version: expected a number or a label, got {describe(version)}")
    return name, str(version)
