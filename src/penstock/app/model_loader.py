"""ModelLoader: an artifact becomes a Scheduler with warm instances. A ``core.Loader``."""

from __future__ import annotations

import asyncio

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
from penstock.runtime.executable import Executable
from penstock.runtime.instance import ThreadInstance
from penstock.runtime.runtime import find_runtime
from penstock.runtime.warmup import example_inputs, warm_up
from penstock.scheduler.model_info import ModelInfo, max_batch_size
from penstock.scheduler.scheduler import Scheduler
from penstock.telemetry.registry import StatsRegistry


class ModelLoader:
    """Loads one version: runtime, instances, warm-up, scheduler."""

    def __init__(
        self,
        artifact: ArtifactRef,
        *,
        client: ModelClient,
        stats: StatsRegistry,
        clock: Clock | None = None,
    ) -> None:
        self._artifact = artifact
        self._client = client
        self._stats = stats
        self._clock = clock or SystemClock()
        self._scheduler: Scheduler | None = None

    def estimate(self) -> ResourceEstimate:
        """The artifact's size on disk, once for each instance."""
        return ResourceEstimate(self._artifact.num_bytes * self._artifact.manifest.instances.count)

    async def load(self) -> Scheduler:
        """Load and warm up every instance on a thread of this load's own; see ``core.Loader``.

        A load that hangs keeps no process alive.
        """
        started_ns = self._clock.monotonic_ns()
        loop = asyncio.get_running_loop()
        info, instances = await on_daemon_thread(
            lambda: self._load_instances(loop), f"penstock-load-{self._artifact.id.name}"
        )
        try:
            scheduler = Scheduler(info, instances, loop=loop, clock=self._clock)
        except ConfigError as err:
            for instance in instances:
                await instance.close()
            raise LoadFailed(f"{self._artifact.id}: {err.message}") from err
        scheduler.stats.load_s = (self._clock.monotonic_ns() - started_ns) / 1e9
        self._stats.add(scheduler.stats)
        self._scheduler = scheduler
        return scheduler

    async def unload(self) -> None:
        """Close the instances and forget the numbers."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            self._stats.remove(scheduler.stats)
            await scheduler.close()

    def _load_instances(
        self, loop: asyncio.AbstractEventLoop
    ) -> tuple[ModelInfo, list[ThreadInstance]]:
        artifact = self._artifact
        runtime = find_runtime(artifact.runtime)
        executables: list[Executable] = []
        try:
            while len(executables) < artifact.manifest.instances.count:
                executables.append(runtime.load(artifact, self._client))
            signature = self._declared(executables[0])
            self._check_batch_sizes(signature)
            instances = [ThreadInstance(artifact.id, e, loop, self._clock) for e in executables]
            examples = self._examples(signature)
            warm_up_ns = max(warm_up(artifact.id, instance, examples) for instance in instances)
        except BaseException as err:
            for executable in executables:
                executable.close()
            if isinstance(err, Exception):
                raise
            text = f"{artifact.id}: loading the model raised {type(err).__name__}: {err}"
            raise LoadFailed(text, culprit=err) from err
        info = ModelInfo(
            id=artifact.id,
            runtime=artifact.runtime,
            platform=runtime.platform,
            signature=signature,
            manifest=artifact.manifest,
            warm_up_ns=warm_up_ns,
        )
        return info, instances

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

    def _declared(self, executable: Executable) -> ModelSignature:
        try:
            return declare(executable.signature, self._artifact.manifest)
        except ConfigError as err:
            raise LoadFailed(f"{self._artifact.id}: {err.message}") from err

    def _examples(self, signature: ModelSignature) -> list[tuple[Tensor, ...]]:
        warmup = self._artifact.manifest.warmup
        if warmup is None:
            return [example_inputs(signature)]
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
