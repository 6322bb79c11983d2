"""ServedJobs: the batch jobs of one serving process, from its start to its end."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Sequence
from pathlib import Path

from penstock.app.jobs.served.entry import JobEntry
from penstock.app.jobs.served.job_book import JobBook
from penstock.app.jobs.served.job_messages import Told
from penstock.app.jobs.served.job_process import JobProcess
from penstock.app.jobs.served.job_runner import JobRunner, RunnerOptions
from penstock.app.jobs.served.jobs_folder import JobsFolder
from penstock.app.jobs.served.served_desk import ServedDesk
from penstock.app.jobs.served.served_models import ServedModels
from penstock.app.processes.handover import settings_out
from penstock.app.settings import Settings
from penstock.core.clock import Clock
from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.errors import ConfigError, StoreError
from penstock.server.service import ModelService
from penstock.stores.control_store import ControlStore
from penstock.stores.open_control_store import control_file_url, open_control_store
from penstock.stores.store_url import without_password

_QUEUE = "jobs.db"


class ServedJobs:
    """Made with the server; opens and starts nothing before it is told to.

    Args:
        settings: of the server; ``jobs.folder`` is set.
        paths: what it serves.
        service: of the process.
        clock: the time.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self, settings: Settings, paths: Sequence[str], service: ModelService, clock: Clock
    ) -> None:
        self._settings = settings
        self._service = service
        self._clock = clock
        self._models = ServedModels(service, paths, settings, clock)
        self._plain = settings_out(settings)
        self._folder: JobsFolder | None = None
        self._store: ControlStore | None = None
        self._runner: JobRunner | None = None

    async def open(self) -> None:
        """Open the folder and the queue, and take jobs from now on; none is run yet.

        Raises:
            ConfigError: the folder or the queue cannot be used, or a package is missing.
        """
        jobs = self._settings.jobs
        if importlib.util.find_spec("pyarrow") is None:
            raise ConfigError("jobs.folder: batch jobs need pyarrow: pip install 'penstock[batch]'")
        folder = await on_daemon_thread(lambda: JobsFolder(Path(jobs.folder)), "penstock-jobs")
        url = self._settings.control_store or control_file_url(folder.path / _QUEUE)
        store = self._store = open_control_store(url, is_new=True)
        book = JobBook(store, folder.id)
        try:
            entries = await book.entries()
        except StoreError as err:
            await self.close()
            raise ConfigError(f"the queue of jobs, {without_password(url)}: {err.message}") from err
        kept = {entry.folder for entry in entries}
        await on_daemon_thread(lambda: folder.remove_forgotten(kept), "penstock-jobs")
        self._folder = folder
        options = RunnerOptions(max_running=jobs.max_running, keep_s=jobs.keep_s)
        me = uuid.uuid4().hex
        runner = JobRunner(book, store, folder, self._launch, me, self._clock, options)
        self._runner = runner
        self._service.jobs = ServedDesk(jobs, book, folder, self._models, runner.kick, self._clock)

    def start(self) -> None:
        """Run jobs; everything is up."""
        if self._runner is not None:
            self._runner.start()

    async def leave(self) -> None:
        """Run no more; before this process drains."""
        if self._runner is not None:
            await self._runner.close()

    async def close(self) -> None:
        """Let go of the queue; when the last request is answered. Once is enough."""
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    def _launch(self, entry: JobEntry) -> JobProcess:
        assert self._folder is not None  # noqa: S101  # for the type checker
        folder = str(self._folder.of(entry.folder))
        return JobProcess(Told(entry.spec, self._plain, folder, entry.is_upload))
