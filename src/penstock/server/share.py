"""What a serving process has of the others, where it is not the only one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from penstock.core.orders import Orders
from penstock.telemetry.families import Family
from penstock.telemetry.stats import ModelStatsSnapshot

LOGS, TRACES = "logs", "traces"
"""Subjects of the shared state: the log settings and the trace settings."""

SOCKETS = "process-*.sock"
"""Where the processes of one server listen for one another."""

_MODEL = "model/"
_JOB = "job/"


class Share(Orders, Protocol):
    """The state that all processes share; a change is made in all of them, or in none."""


class Siblings(Protocol):
    """The other processes' numbers. One that does not answer in time is left out."""

    async def metrics(self) -> list[list[Family]]:
        """Their metrics, a page each."""
        ...

    async def statistics(self, name: str, version: int | None) -> list[ModelStatsSnapshot]:
        """Their statistics of a model's version, of all its versions, or with "" of everything."""
        ...


def model_subject(name: str) -> str:
    """The subject of a model that is loaded and unloaded by hand."""
    return f"{_MODEL}{name}"


def model_of(subject: str) -> str | None:
    """The model that a subject is about; None: it is about none."""
    return subject.removeprefix(_MODEL) if subject.startswith(_MODEL) else None


def job_subject(place: str, job_id: str) -> str:
    """The subject of a batch job of a jobs folder, by the folder's own id."""
    return f"{_JOB}{place}/{job_id}"


def is_job(subject: str) -> bool:
    """Whether a subject is a batch job: serving processes do not follow it, one runs it."""
    return subject.startswith(_JOB)


def routed_model(subject: str) -> str | None:
    """The model whose route a subject is about; None: it is about none."""
    from penstock.rollout.subjects import routed_model as found

    return found(subject)


def socket_path(folder: Path, number: int) -> Path:
    """Where the process of this number listens."""
    return folder / f"process-{number}.sock"
