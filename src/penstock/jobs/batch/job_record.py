"""JobRecord: what a job was begun with. What is done with it is never mixed with anything else."""

from __future__ import annotations

from pathlib import Path

import msgspec

from penstock.core.errors import JobFailed
from penstock.jobs.batch.durable import write_whole
from penstock.jobs.batch.parts import Cut
from penstock.jobs.predictor import ModelIdentity

RECORD = "job.json"


class JobRecord(msgspec.Struct, frozen=True):
    """Written before the first part is; another takes its place only where there is no part.

    Attributes:
        model: which model answers.
        spec_digest: of those fields of the job that change what is written.
        cut: how rows are cut.
        schema: of the rows that are predicted, as Arrow's IPC format has it.
    """

    model: ModelIdentity
    spec_digest: str
    cut: Cut
    schema: bytes


def read_record(state: Path) -> JobRecord | None:
    """What the job of this state folder was begun with; None: it was not.

    Raises:
        JobFailed: it is damaged, or cannot be read.
    """
    path = state / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=JobRecord)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as err:
        raise JobFailed(f"{path}: damaged ({err}); {_ANEW}") from err
    except OSError as err:
        raise JobFailed(f"{path}: cannot be read: {err.strerror or err}", retryable=True) from err


def write_record(state: Path, record: JobRecord) -> None:
    """Keep it.

    Raises:
        JobOutputError: it cannot be written.
    """
    write_whole(state / RECORD, msgspec.json.encode(record))


def check_record(state: Path, record: JobRecord, model: ModelIdentity, spec_digest: str) -> None:
    """See that a job goes on as it was begun.

    Raises:
        JobFailed: the model or the job is another one.
    """
    begun = record.model
    if begun != model:
        raise JobFailed(
            f"{state}: this output was begun with {_told(begun)}, and now {_told(model)} answers; "
            f"{_ANEW}"
        )
    if record.spec_digest != spec_digest:
        raise JobFailed(
            f"{state}: the job was changed since this output was begun: input, model, columns, "
            f"transform or output are others; take the change back, or {_ANEW}"
        )


_ANEW = (
    "give the job another output and 'state', or start over with --fresh: predictions of two "
    "kinds are never mixed"
)


def _told(model: ModelIdentity) -> str:
    return f"model '{model.name}' version {model.version} (digest {model.digest[:12]})"
