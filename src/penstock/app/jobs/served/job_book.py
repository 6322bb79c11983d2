"""JobBook: the jobs of one folder, as the control store has them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from penstock.app.jobs.served.entry import JobEntry, job_of
from penstock.server.jobs_api.desk import no_job
from penstock.server.share import job_subject
from penstock.stores.control_store import Change, ControlStore, Wish

_log = logging.getLogger("penstock.jobs")


class JobBook:
    """Reads and changes jobs. Each call raises StoreError where the store cannot be asked.

    Args:
        store: the store.
        place: the id of the jobs folder: whoever has that folder runs its jobs.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, store: ControlStore, place: str) -> None:
        self._store = store
        self._place = place
        self._last: dict[str, Change] = {}
        self._entries: dict[str, JobEntry] = {}
        self._revision = 0

    async def entries(self) -> list[JobEntry]:
        """Every job of the folder, in the order in which they were submitted."""
        for change in await self._store.desired(self._revision):
            self._take(change)
        return sorted(self._entries.values(), key=lambda one: (one.submitted_ms, one.id))

    async def find(self, job_id: str) -> JobEntry:
        """One job.

        Raises:
            NotFound: there is none of this id.
        """
        await self.entries()
        if job_id not in self._entries:
            raise no_job(job_id)
        return self._entries[job_id]

    async def add(self, entry: JobEntry) -> JobEntry | None:
        """Write a new job down.

        Returns:
            None: it is; the job that has its id already, which stays.
        """
        while True:
            await self.entries()
            before = self._entries.get(entry.id)
            if before is not None:
                return before
            if await self._write(entry, "submitted", entry.who):
                return None

    async def change(
        self, job_id: str, to: Callable[[JobEntry], JobEntry], why: str, who: str
    ) -> JobEntry:
        """Change a job.

        Args:
            job_id: which.
            to: asked again where another change came between; the same job: nothing is written.
            why: for the history.
            who: who asks.

        Raises:
            NotFound: there is none of this id.
        """
        while True:
            before = await self.find(job_id)
            after = to(before)
            if after == before or await self._write(after, why, who):
                return after

    async def remove(
        self, job_id: str, check: Callable[[JobEntry], None], why: str, who: str
    ) -> JobEntry:
        """Forget a job; ``check`` may raise to keep it.

        Returns:
            what it was.

        Raises:
            NotFound: there is none of this id.
        """
        while True:
            entry = await self.find(job_id)
            check(entry)
            wish = Wish(job_subject(self._place, job_id), None, who, why)
            expected = self._last[job_id].revision
            if await self._store.change(wish, expected) is not None:
                return entry

    async def _write(self, entry: JobEntry, why: str, who: str) -> bool:
        """Whether it was written: nobody else has changed the job since it was read."""
        last = self._last.get(entry.id)
        wish = Wish(job_subject(self._place, entry.id), msgspec.to_builtins(entry), who, why)
        expected = 0 if last is None else last.revision
        return await self._store.change(wish, expected) is not None

    def _take(self, change: Change) -> None:
        self._revision = max(self._revision, change.revision)
        job_id = job_of(self._place, change.subject)
        if job_id is None:
            return
        last = self._last.get(job_id)
        if last is not None and last.revision >= change.revision:
            return
        self._last[job_id] = change
        self._entries.pop(job_id, None)
        if change.value is not None:
            try:
                self._entries[job_id] = msgspec.convert(change.value, JobEntry)
            except msgspec.ValidationError as err:
                _log.error("job '%s' was written by another version of Penstock: %s", job_id, err)
