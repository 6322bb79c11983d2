"""JobDesk: what the jobs API asks of whoever keeps the jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, Protocol

from penstock.core.errors import NotFound
from penstock.server.jobs_api.answers import JobAnswer, JobResult, Submitted


def no_job(job_id: str) -> NotFound:
    """The error for an id that no job has."""
    return NotFound(f"there is no job '{job_id[:64]}'")


class Upload(NamedTuple):
    """An input that comes with its job.

    Attributes:
        query: the request's query, name to value.
        encoding: how the body is packed, as ``Content-Encoding`` says; "": it is not.
        length: of the body in bytes, as announced; -1: it was not.
        body: the pieces of it; raises Cancelled where the client goes away.
    """

    query: Mapping[str, str]
    encoding: str
    length: int
    body: AsyncIterator[bytes]


class Download(NamedTuple):
    """A result on its way out.

    Attributes:
        content_type: its type.
        length: in bytes.
        pieces: its bytes; closed by whoever has it.
    """

    content_type: str
    length: int
    pieces: AsyncIterator[bytes]


class JobDesk(Protocol):
    """Takes jobs and tells of them. Each method raises StoreError where the queue cannot be asked,
    and NotFound where there is no such job.
    """

    async def submit(self, fields: Mapping[str, Any], key: str, who: str) -> Submitted:
        """Take a job whose input and output are named.

        Args:
            fields: of the request's body.
            key: the id that the client gives it in a header; "": none.
            who: who asks.

        Raises:
            ConfigError, InvalidArgument: a field is wrong, or names what jobs may not touch.
            NotFound, NotReady: no such model serves.
            FailedPrecondition: the id is another job's.
            Overloaded: too many wait.
        """
        ...

    async def upload(self, upload: Upload, key: str, who: str) -> Submitted:
        """Take a job with its input; raises as ``submit``, and TooLarge."""
        ...

    async def list(self) -> tuple[JobAnswer, ...]:
        """Every job, the youngest first."""
        ...

    async def show(self, job_id: str) -> JobAnswer:
        """One job."""
        ...

    async def cancel(self, job_id: str, who: str) -> JobAnswer:
        """Have a job end within a batch. One that is cancelled already is no error.

        Raises:
            FailedPrecondition: it has ended.
        """
        ...

    async def delete(self, job_id: str, who: str) -> None:
        """Forget a job that has ended, its upload and the output that is kept here.

        Raises:
            FailedPrecondition: it has not ended.
        """
        ...

    async def result(self, job_id: str) -> JobResult:
        """What a job has done.

        Raises:
            FailedPrecondition: it is not done.
        """
        ...

    async def download(self, job_id: str, file: str) -> Download:
        """A file of an upload's output, by its name; ``all``: every part, one after the other.

        Raises:
            InvalidArgument: there is no such file, or parts of this format cannot be put together.
            FailedPrecondition: it is not done, or its output is not kept here.
        """
        ...
