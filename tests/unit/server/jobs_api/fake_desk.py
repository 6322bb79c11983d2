"""A JobDesk that remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from penstock.jobs.batch.report import Report, SplitTally
from penstock.jobs.predictor import ModelIdentity
from penstock.server.jobs_api.answers import JobAnswer, JobResult, Submitted
from penstock.server.jobs_api.desk import Download, JobDesk, Upload

JOB = JobAnswer("a", "a", "queued", "m", 1, is_upload=True)
RESULT = JobResult("a", Report("a", ModelIdentity("m", 1, "d"), 1, 1.0, SplitTally()))


class FakeDesk(JobDesk):
    """Takes everything.

    Attributes:
        error: what every call raises; None: nothing.
        is_new: whether jobs are new to it.
        endless: whether downloads never end.
        calls: names and arguments of what was asked for without a stream.
        uploads: query, encoding, length, pieces, key and actor of each.
        downloads: job and file of each.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.is_new = True
        self.endless = False
        self.calls: list[tuple[Any, ...]] = []
        self.uploads: list[tuple[Any, ...]] = []
        self.downloads: list[tuple[str, str]] = []

    async def submit(self, fields: Mapping[str, Any], key: str, who: str) -> Submitted:
        self._called("submit", dict(fields), key, who)
        return Submitted(JOB, self.is_new)

    async def upload(self, upload: Upload, key: str, who: str) -> Submitted:
        if self.error is not None:
            raise self.error
        pieces = [piece async for piece in upload.body]
        query = dict(upload.query)
        self.uploads.append((query, upload.encoding, upload.length, pieces, key, who))
        return Submitted(JOB, self.is_new)

    async def list(self) -> tuple[JobAnswer, ...]:
        self._called("list")
        return (JOB,)

    async def show(self, job_id: str) -> JobAnswer:
        self._called("show", job_id)
        return JOB

    async def cancel(self, job_id: str, who: str) -> JobAnswer:
        self._called("cancel", job_id, who)
        return JOB

    async def delete(self, job_id: str, who: str) -> None:
        self._called("delete", job_id, who)

    async def result(self, job_id: str) -> JobResult:
        self._called("result", job_id)
        return RESULT

    async def download(self, job_id: str, file: str) -> Download:
        self.downloads.append((job_id, file))
        return Download("text/csv", 6, self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield b"one"
        while self.endless:
            await asyncio.sleep(0)
            yield b"and"
        yield b"two"

    def _called(self, *call: Any) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
