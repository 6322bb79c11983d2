"""ServedDesk: takes the jobs of clients, and tells of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.app.jobs.served.entry import JobEntry, answer_of, cancelled, check_done
from penstock.app.jobs.served.job_book import JobBook
from penstock.app.jobs.served.job_request import (
    JobRequest,
    check_spec,
    digest_of,
    read_request,
)
from penstock.app.jobs.served.jobs_folder import OUTPUT, STATE, JobsFolder
from penstock.app.jobs.served.receive import receive
from penstock.app.jobs.served.roots import Roots
from penstock.app.jobs.served.send_back import download_of
from penstock.app.jobs.served.served_models import ServedModels
from penstock.app.jobs.served.upload_request import fields_of, upload_name
from penstock.app.settings import JobsSettings
from penstock.core.clock import Clock
from penstock.core.errors import FailedPrecondition, Overloaded
from penstock.jobs.batch.sources.files import is_url
from penstock.jobs.batch.spec import BatchSpec
from penstock.server.jobs_api.answers import JobAnswer, JobResult, ResultFile, Submitted
from penstock.server.jobs_api.desk import Download, Upload

_BUSY_S = 5.0


class ServedDesk:
    """A ``JobDesk``.

    Args:
        settings: how much is taken.
        book: the jobs.
        folder: their files.
        models: what is served.
        kick: called when the runner has something to do.
        clock: the time.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self,
        settings: JobsSettings,
        book: JobBook,
        folder: JobsFolder,
        models: ServedModels,
        kick: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._book = book
        self._folder = folder
        self._models = models
        self._kick = kick
        self._clock = clock
        self._roots = Roots(settings.roots)
        self._arriving = 0

    async def submit(self, fields: Mapping[str, Any], key: str, who: str) -> Submitted:
        """See ``JobDesk.submit``."""
        request = read_request(fields, key)
        model = {"path": ".", "name": request.model}
        spec = check_spec({**request.fields, "model": model}, self._settings)
        await asyncio.to_thread(self._check_roots, spec)
        return await self._take(request, request.digest, who, None)

    async def upload(self, upload: Upload, key: str, who: str) -> Submitted:
        """See ``JobDesk.upload``."""
        fields = fields_of(upload.query)
        request = read_request(fields, key)
        name = upload_name(fields, upload.encoding)
        check_spec(_placed(request, {"path": "."}, Path("/"), name), self._settings)
        await self._check_room(request.id)
        self._arriving += 1
        try:
            return await self._take_upload(request, upload, name, who)
        finally:
            self._arriving -= 1

    async def list(self) -> tuple[JobAnswer, ...]:
        """See ``JobDesk.list``."""
        entries = reversed(await self._book.entries())
        return tuple([await self._answer(entry) for entry in entries])

    async def show(self, job_id: str) -> JobAnswer:
        """See ``JobDesk.show``."""
        return await self._answer(await self._book.find(job_id))

    async def cancel(self, job_id: str, who: str) -> JobAnswer:
        """See ``JobDesk.cancel``."""

        def to(entry: JobEntry) -> JobEntry:
            return cancelled(entry, who, self._now_ms())

        entry = await self._book.change(job_id, to, "cancelled", who)
        self._kick()
        return await self._answer(entry)

    async def delete(self, job_id: str, who: str) -> None:
        """See ``JobDesk.delete``."""
        entry = await self._book.remove(job_id, _check_ended, "deleted", who)
        await asyncio.to_thread(self._folder.remove, entry.folder)

    async def result(self, job_id: str) -> JobResult:
        """See ``JobDesk.result``."""
        entry = await self._book.find(job_id)
        check_done(entry)
        return await asyncio.to_thread(self._result, entry)

    async def download(self, job_id: str, file: str) -> Download:
        """See ``JobDesk.download``."""
        entry = await self._book.find(job_id)
        check_done(entry)
        if not entry.is_upload:
            raise FailedPrecondition(
                f"job '{job_id}' has written its output to {entry.spec['output']['path']}: it is "
                "not kept here"
            )
        return await asyncio.to_thread(self._download, entry, file)

    # What is taken

    async def _take_upload(
        self, request: JobRequest, upload: Upload, name: str, who: str
    ) -> Submitted:
        folder = await asyncio.to_thread(self._folder.make)
        is_taken = False
        try:
            path = self._folder.of(folder) / name
            most = int(self._settings.max_upload_bytes)
            content = await receive(upload.body, upload.length, path, most)
            digest = digest_of({"fields": request.digest, "content": content, "packed": name})
            found = await self._take(request, digest, who, (folder, name))
            is_taken = found.is_new
            return found
        finally:
            if not is_taken:
                await asyncio.to_thread(self._folder.remove, folder)

    async def _take(
        self, request: JobRequest, digest: str, who: str, upload: tuple[str, str] | None
    ) -> Submitted:
        """Put a job into the queue; ``upload``: the job's folder, and the file's name there."""
        model = await self._models.pin(request.model, request.version)
        if upload is None:
            await self._check_room(request.id)
            folder = await asyncio.to_thread(self._folder.make)
            spec = {**request.fields, "model": model}
            if is_url(spec["output"]["path"].removeprefix("file://")):
                spec["state"] = str(self._folder.of(folder) / STATE)
        else:
            folder, name = upload
            spec = _placed(request, model, self._folder.of(folder), name)
        entry = JobEntry(
            id=request.id,
            folder=folder,
            digest=digest,
            spec=spec,
            is_upload=upload is not None,
            who=who,
            submitted_ms=self._now_ms(),
        )
        there = await self._book.add(entry)
        if there is None:
            self._kick()
            return Submitted(await self._answer(entry), is_new=True)
        if upload is None:
            await asyncio.to_thread(self._folder.remove, folder)
        if there.digest != digest:
            raise FailedPrecondition(
                f"job '{request.id}' is there already, and another one: give this one another id"
            )
        return Submitted(await self._answer(there), is_new=False)

    async def _check_room(self, job_id: str) -> None:
        """Refuse a job where too many wait; one that is there already takes no room.

        Raises:
            Overloaded: too many do.
        """
        entries = await self._book.entries()
        waiting = sum(entry.state == "queued" for entry in entries) + self._arriving
        if waiting >= self._settings.max_queued and all(one.id != job_id for one in entries):
            raise Overloaded(
                f"{waiting} jobs wait already, the most that the setting jobs.max_queued of the "
                "server allows",
                retry_after_s=_BUSY_S,
            )

    def _check_roots(self, spec: BatchSpec) -> None:
        """Refuse files that jobs may not touch. Blocks.

        Raises:
            ConfigError: it names one.
        """
        self._roots.check_input(getattr(spec.input, "path", ""))
        self._roots.check_output(getattr(spec.output, "path", ""))

    # What is told

    async def _answer(self, entry: JobEntry) -> JobAnswer:
        progress = entry.progress
        if entry.state == "running":
            progress = await asyncio.to_thread(self._folder.progress, entry.folder)
        return answer_of(entry, progress)

    def _result(self, entry: JobEntry) -> JobResult:
        result = self._folder.result(entry.folder)
        output = self._folder.of(entry.folder) / OUTPUT
        files = [ResultFile(name, (output / name).stat().st_size) for name in result.parts]
        if entry.is_upload:
            report = msgspec.structs.replace(result.report, output="")
            return JobResult(entry.id, report, tuple(files))
        return JobResult(entry.id, result.report, output=entry.spec["output"]["path"])

    def _download(self, entry: JobEntry, file: str) -> Download:
        parts = self._folder.result(entry.folder).parts
        output = self._folder.of(entry.folder) / OUTPUT
        return download_of(output, parts, file, entry.spec["output"]["format"])

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // 1_000_000


def _placed(
    request: JobRequest, model: Mapping[str, Any], folder: Path, name: str
) -> dict[str, Any]:
    """The job of an upload, its files in their places."""
    fields = request.fields
    return {
        **fields,
        "model": model,
        "input": {**fields["input"], "path": str(folder / name)},
        "output": {**fields["output"], "path": str(folder / OUTPUT)},
        "state": str(folder / STATE),
    }


def _check_ended(entry: JobEntry) -> None:
    if not entry.has_ended:
        raise FailedPrecondition(f"job '{entry.id}' is {entry.state}: cancel it first")
