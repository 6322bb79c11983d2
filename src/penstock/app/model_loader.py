"""ModelLoader: an artifact becomes a Scheduler with warm instances. A ``core.Loader``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from penstock.app.copies import Copies, check_wanted, process_copies, thread_copies
from penstock.app.manifest_advice import advise
from penstock.app.memory_book import MemoryBook, MemoryUse
from penstock.app.memory_meter import MemoryMeter, give_back_free_memory
from penstock.core.clock import Clock, SystemClock
from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.errors import ConfigError, LoadFailed
from penstock.core.ids import LATEST
from penstock.core.model import ModelClient
from penstock.core.resources import ResourceEstimate
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference.rest_request import decode_infer
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.declared import declare
from penstock.runtime.executable import declared_bytes
from penstock.runtime.instance import Instance
from penstock.runtime.runtime import find_runtime
from penstock.runtime.saved_example import saved_example
from penstock.runtime.warmup import example_inputs, warm_up
from penstock.scheduler.model_info import ModelInfo, max_batch_size
from penstock.scheduler.scheduler import Scheduler
from penstock.telemetry.registry import StatsRegistry

if TYPE_CHECKING:
    from penstock.runtime.process.worker_host import WorkerHost


class _Loaded(NamedTuple):
    """What a load made.

    Attributes:
        info: of the version.
        copies: of the model, warm.
        learnt: how large they turned out to be; None: it cannot be told.
    """

    info: ModelInfo
    copies: Copies
    learnt: MemoryUse | None


class ModelLoader:
    """Loads one version: runtime, instances, warm-up, scheduler.

    Args:
        artifact: what is loaded.
        client: how its model may call others.
        stats: where its numbers are kept while it is loaded.
        clock: the time; None: the machine's.
        book: what is known of the sizes of versions; None: nothing is.
        meter: measures loads; None: one of its own.
        workers: what worker processes share, made when the first is started; None: there are none.
    """

    def __init__(
        self,
        artifact: ArtifactRef,
        *,
        client: ModelClient,
        stats: StatsRegistry,
        clock: Clock | None = None,
        book: MemoryBook | None = None,
        meter: MemoryMeter | None = None,
        workers: Callable[[], WorkerHost] | None = None,
    ) -> None:
        self._artifact = artifact
        self._client = client
        self._stats = stats
        self._clock = clock or SystemClock()
        self._book = book or MemoryBook()
        self._meter = meter or MemoryMeter()
        self._workers = workers
        self._scheduler: Scheduler | None = None

    def estimate(self) -> ResourceEstimate:
        """What it took when it was last loaded; before, its size on disk for each instance."""
        return self._book.estimate(self._artifact)

    async def load(self) -> Scheduler:
        """Load and warm up every instance on a thread of this load's own; see ``core.Loader``.

        A load that hangs keeps no process alive. What one made that was cancelled is closed as
        soon as it is there, and no further copy of it is begun.
        """
        try:
            return await self._load()
        except LoadFailed as err:
            advised = advise(self._artifact, err)
            if advised is None:
                raise
            raise advised from err

    async def _load(self) -> Scheduler:
        started_ns = self._clock.monotonic_ns()
        loop = asyncio.get_running_loop()
        async with self._book.turn(self._artifact.runtime):
            is_off = threading.Event()
            try:
                loaded = await on_daemon_thread(
                    lambda: self._load_measured(loop, is_off),
                    f"penstock-load-{self._artifact.id.name}",
                    drop=lambda unwanted: unwanted.copies.close(),
                )
            except asyncio.CancelledError:
                is_off.set()
                raise
            self._book.learn(self._artifact, loaded.learnt)
        try:
            scheduler = Scheduler(
                loaded.info, loaded.copies.instances, loop=loop, clock=self._clock
            )
        except ConfigError as err:
            for instance in loaded.copies.instances:
                await instance.close()
            raise LoadFailed(f"{self._artifact.id}: {err.message}") from err
        use = self._book.use_of(self._artifact)
        scheduler.stats.memory_bytes, scheduler.stats.memory_source = use
        scheduler.stats.load_s = (self._clock.monotonic_ns() - started_ns) / 1e9
        self._stats.add(scheduler.stats)
        self._scheduler = scheduler
        return scheduler

    async def unload(self) -> None:
        """Close the instances, forget the numbers and give the memory back to the system."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            self._stats.remove(scheduler.stats)
            with self._meter.changing():
                await scheduler.close()
                await on_daemon_thread(give_back_free_memory, "penstock-trim")

    def _load_measured(self, loop: asyncio.AbstractEventLoop, is_off: threading.Event) -> _Loaded:
        """Load, and tell how large it is. A framework's own memory counts for no model."""
        is_here = self._artifact.manifest.instances.kind == "thread"
        if is_here:
            find_runtime(self._artifact.runtime)
        with self._meter.measuring() as measurement:
            info, copies = self._load_copies(loop, is_off)
        declared = [declared_bytes(instance) for instance in copies.instances]
        known = [num_bytes for num_bytes in declared if num_bytes is not None]
        if len(known) == len(declared):
            return _Loaded(info, copies, MemoryUse(sum(known), "declared"))
        if measurement.grown_bytes is None or not is_here:
            return _Loaded(info, copies, None)
        return _Loaded(info, copies, MemoryUse(measurement.grown_bytes, "measured"))

    def _load_copies(
        self, loop: asyncio.AbstractEventLoop, is_off: threading.Event
    ) -> tuple[ModelInfo, Copies]:
        artifact = self._artifact
        copies: Copies | None = None
        try:
            copies = self._copies(loop, is_off)
            signature = self._declared(copies.signature)
            self._check_batch_sizes(signature)
            examples = self._examples(signature)
            one_each = copies.instances[: artifact.manifest.instances.count]  # others share a copy
            warm_up_ns = max(self._warm_up(one, examples, is_off) for one in one_each)
            copies.keep_warm(examples)
        except BaseException as err:
            if copies is not None:
                copies.close()
            if isinstance(err, Exception):
                raise
            text = f"{artifact.id}: loading the model raised {type(err).__name__}: {err}"
            raise LoadFailed(text, culprit=err) from err
        info = ModelInfo(
            id=artifact.id,
            runtime=artifact.runtime,
            platform=copies.platform,
            signature=signature,
            manifest=artifact.manifest,
            warm_up_ns=warm_up_ns,
        )
        return info, copies

    def _warm_up(
        self, instance: Instance, examples: Sequence[tuple[Tensor, ...]], is_off: threading.Event
    ) -> int:
        check_wanted(self._artifact, is_off)
        return warm_up(self._artifact.id, instance, examples)

    def _copies(self, loop: asyncio.AbstractEventLoop, is_off: threading.Event) -> Copies:
        artifact = self._artifact
        if artifact.manifest.instances.kind == "thread":
            return thread_copies(artifact, self._client, loop, self._clock, is_off)
        if self._workers is None:
            raise LoadFailed(f"{artifact.id}: there are no worker processes here")
        return process_copies(artifact, self._workers(), loop, self._clock, is_off)

    def _check_batch_sizes(self, signature: ModelSignature) -> None:
        """See that no preferred size is beyond a batch, now that the default is known."""
        manifest = self._artifact.manifest
        limit = max_batch_size(signature, manifest)
        too_large = [size for size in manifest.batching.preferred_batch_sizes if size > limit]
        if too_large:
            default = " by default" if manifest.max_batch_size is None else ""
            raise LoadFailed(
                f"{self._artifact.id}: batching.preferred_batch_sizes: {too_large[0]} is more than "
                f"max_batch_size, which is {limit}{default}"
            )

    def _declared(self, signature: ModelSignature) -> ModelSignature:
        try:
            return declare(signature, self._artifact.manifest)
        except ConfigError as err:
            raise LoadFailed(f"{self._artifact.id}: {err.message}") from err

    def _examples(self, signature: ModelSignature) -> list[tuple[Tensor, ...]]:
        warmup = self._artifact.manifest.warmup
        if warmup is None:
            return [saved_example(self._artifact, signature) or example_inputs(signature)]
        examples = []
        for example in warmup:
            examples += [self._read_example(example.file, signature)] * example.count
        return examples

    def _read_example(self, file: str, signature: ModelSignature) -> tuple[Tensor, ...]:
        """A V2 JSON request from the version's folder, else from the model's."""
        artifact = self._artifact
        for folder in (artifact.root, artifact.root.parent):
            path = folder / file
            if path.is_file():
                break
        else:
            raise LoadFailed(f"{artifact.id}: there is no warm-up file '{file}'")
        try:
            request = decode_infer(
                path.read_bytes(),
                model=artifact.id.name,
                choice=LATEST,
                header_length=None,
                signature_of=lambda: signature,
                now_ns=0,
            ).request
            signature.check(artifact.id.name, request.inputs, request.outputs)
        except Exception as err:
            raise LoadFailed(f"{artifact.id}: warm-up file '{file}': {err}") from err
        return request.inputs
