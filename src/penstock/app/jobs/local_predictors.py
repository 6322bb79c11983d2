"""LocalPredictors: copies of a model in this process, or in workers of it, for a job alone.

What serves online serves here: the same files, runtimes, workers, padding and warm-up. There is no
queue and no scheduler: what one copy computes at once are the rows of one call.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping

import msgspec

from penstock.app.copies import Copies
from penstock.app.jobs.executions import Executions
from penstock.app.jobs.find_model import Found
from penstock.app.jobs.loop_thread import LoopThread
from penstock.app.jobs.model_digest import model_digest
from penstock.app.jobs.other_models import OtherModels
from penstock.app.jobs.row_rule import RowRule
from penstock.app.manifest_advice import advise
from penstock.app.settings import Settings
from penstock.app.shared_workers import SharedWorkers
from penstock.app.warm_copies import Surroundings, warm_copies
from penstock.core.clock import Clock
from penstock.core.errors import ConfigError, LoadFailed, NotReady, PenstockError
from penstock.core.messages import Parameter
from penstock.core.raised_at import raised_at
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.jobs.predictor import ModelIdentity
from penstock.runtime.blocking_client import BlockingClient
from penstock.runtime.caller import CALLER, Caller
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Instance, Work
from penstock.scheduler.batch import Tensors
from penstock.scheduler.model_info import ModelInfo
from penstock.scheduler.padding import Padding

_NO_PARAMETERS: Mapping[str, Parameter] = {}


class LocalPredictors:
    """A ``jobs.Predictors`` of a model on disk.

    Args:
        path: where its model was found.
        found: the version.
        settings: of the workers.
        clock: the time.

    Attributes:
        identity: which model it is.

    Raises:
        LoadFailed: its package cannot be unpacked, or a file not be read.

    Concurrency: any thread; blocks.
    """

    def __init__(self, path: str, found: Found, settings: Settings, clock: Clock) -> None:
        self._found = found
        self._clock = clock
        self._start_timeout_s = settings.workers.start_timeout_s
        self._lock = threading.Lock()
        self._first: LocalPredictor | None = None
        self._rule: RowRule | None = None
        artifact = found.artifact
        with contextlib.ExitStack() as stack:
            if artifact.package is not None:
                stack.callback(artifact.package.open().release)
            self.identity = ModelIdentity(
                artifact.id.name, artifact.id.version, model_digest(artifact)
            )
            self._thread = LoopThread("penstock-job-loop")
            stack.callback(self._thread.close)
            others = OtherModels(path)
            workers = SharedWorkers(settings.workers, others)
            stack.callback(lambda: self._thread.call(others.close()))
            stack.callback(lambda: self._thread.call(workers.close()))
            client = self._thread.call(_blocking(others, self._thread))
            self._around = Surroundings(client, workers.host, self._thread.loop, clock)
            self._stack = stack.pop_all()

    @property
    def signature(self) -> ModelSignature:
        """What it takes and gives, every tensor ``[rows, ...]``; the first copy is loaded for it.

        Raises:
            LoadFailed: it does not load.
        """
        with self._lock:
            if self._rule is None:
                self._first = self._load()
                self._rule = self._first.rule
            return self._rule.signature

    def open(self) -> LocalPredictor:
        """See ``jobs.Predictors.open``; the first copy tells the signature, too."""
        with self._lock:
            first, self._first = self._first, None
            if first is None and self._rule is None:
                first = self._load()
                self._rule = first.rule
            if first is not None:
                return first
        return self._load()

    def close(self) -> None:
        """Give back the workers, the other models and the package's files. Once is enough."""
        with self._lock:
            first, self._first = self._first, None
        if first is not None:
            first.close()
        self._stack.close()

    def _load(self) -> LocalPredictor:
        artifact = self._found.artifact
        one = msgspec.structs.replace(artifact.manifest.instances, count=1)
        manifest = msgspec.structs.replace(artifact.manifest, instances=one)
        alone = msgspec.structs.replace(artifact, manifest=manifest)
        try:
            info, copies = warm_copies(alone, self._around, threading.Event())
        except LoadFailed as err:
            raise _with_place(advise(artifact, err) or err) from err
        try:
            return LocalPredictor(info, copies, self._start_timeout_s)
        except ConfigError as err:
            copies.close()
            raise LoadFailed(artifact.id.says(err.message)) from err


class LocalPredictor:
    """A ``jobs.Predictor``: one copy, run on the caller's thread or in its worker process.

    Args:
        info: what was loaded.
        copies: the copy, alone.
        patience_s: how long a worker that died may take to come back, in seconds.

    Attributes:
        rule: what a row is to the model.

    Raises:
        ConfigError: its manifest's padding does not fit it.
    """

    def __init__(self, info: ModelInfo, copies: Copies, patience_s: float) -> None:
        manifest = info.manifest
        self.rule = RowRule.of(info.signature, manifest.max_batch_size)
        pad = manifest.batching.pad
        padding = Padding.resolve(pad, info.signature) if pad else None
        self._copies = copies
        self._instance: Instance = copies.instances[0]
        self._caller = Caller(info.id, None)
        self._patience_s = patience_s
        self._executions = Executions(info.id, self.rule, padding, self._run)
        self._changed = threading.Event()
        self._instance.watch(self._changed.set)

    def predict(self, inputs: tuple[Tensor, ...]) -> ExecuteResult:
        """See ``jobs.Predictor.predict``."""
        token = CALLER.set(self._caller)
        try:
            return self._executions.predict(inputs)
        finally:
            CALLER.reset(token)

    def close(self) -> None:
        """Give back the copy's memory, or end its worker."""
        self._copies.close()

    def _run(self, inputs: Tensors) -> ExecuteResult:
        if not self._instance.is_ready:
            self._wait_ready()
        try:
            result = self._instance.run(Work(inputs, _NO_PARAMETERS)).result
        except RuntimeError as err:  # its worker has died since we looked
            raise NotReady(self._caller.id.says("its worker died")) from err
        if isinstance(result, PenstockError):
            raise result
        return result

    def _wait_ready(self) -> None:
        """Wait for the worker that takes a dead one's place.

        Raises:
            NotReady: none comes, or none in time.
        """
        until_s = time.monotonic() + self._patience_s
        while not self._instance.is_ready:
            fault = self._instance.fault
            if fault is not None:
                raise NotReady(fault.message, retry_after_s=fault.retry_after_s)
            self._changed.clear()
            left_s = until_s - time.monotonic()
            if self._instance.is_ready or self._instance.fault is not None:
                continue
            if left_s <= 0 or not self._changed.wait(left_s):
                raise NotReady(
                    self._caller.id.says(f"its worker has not come back in {self._patience_s:g} s")
                )


def _with_place(error: LoadFailed) -> LoadFailed:
    """With the file and the line of the model's code that raised: who runs a job can mend it."""
    place = "" if error.culprit is None else raised_at(error.culprit)
    if not place:
        return error
    return LoadFailed(
        f"{error.message} ({place})",
        retry_after_s=error.retry_after_s,
        retryable=error.retryable,
        culprit=error.culprit,
    )


async def _blocking(others: OtherModels, thread: LoopThread) -> BlockingClient:
    """Made on the loop's thread, which it has to know."""
    return BlockingClient(others, thread.loop)
