"""Copies: every instance of one version, on threads or in processes, brought up together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from penstock.core.clock import Clock
from penstock.core.errors import LoadFailed
from penstock.core.model import ModelClient
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import Executable
from penstock.runtime.instance import Instance, ThreadInstance
from penstock.runtime.runtime import find_runtime

if TYPE_CHECKING:
    from penstock.runtime.process.worker_host import WorkerHost
    from penstock.runtime.python_runtime import PythonExecutable


class Copies(NamedTuple):
    """What was brought up.

    Attributes:
        instances: the copies.
        signature: what the artifact says the model takes and gives.
        platform: the runtime's.
        keep_warm: told the examples that they were warmed up with.
        close: gives everything back, for a load that fails after all. Blocks.
    """

    instances: Sequence[Instance]
    signature: ModelSignature
    platform: str
    keep_warm: Callable[[Sequence[tuple[Tensor, ...]]], None]
    close: Callable[[], None]


def thread_copies(
    artifact: ArtifactRef, client: ModelClient, loop: asyncio.AbstractEventLoop, clock: Clock
) -> Copies:
    """Load so many copies as the manifest says into this process. Blocks.

    Raises:
        LoadFailed: its stages shall have threads of their own, and it is no Python model.
        Exception: what the runtime raises; nothing is left behind.
    """
    _check_stages(artifact)
    runtime = find_runtime(artifact.runtime)
    executables: list[Executable] = []

    def close() -> None:
        for executable in executables:
            executable.close()

    try:
        while len(executables) < artifact.manifest.instances.count:
            executables.append(runtime.load(artifact, client))
        signature = executables[0].signature
    except BaseException:
        close()
        raise
    instances = _on_threads(artifact, executables, loop, clock)
    return Copies(instances, signature, runtime.platform, lambda _: None, close)


def _check_stages(artifact: ArtifactRef) -> None:
    if artifact.manifest.stages.counts and artifact.runtime != "python":
        raise LoadFailed(
            f"{artifact.id}: model.yaml: stages: only Python models have stages, and the runtime "
            f"is {artifact.runtime}; leave 'stages' out"
        )


def _on_threads(
    artifact: ArtifactRef,
    executables: Sequence[Executable],
    loop: asyncio.AbstractEventLoop,
    clock: Clock,
) -> Sequence[Instance]:
    counts = artifact.manifest.stages.counts
    if not counts:
        return [ThreadInstance(artifact.id, one, loop, clock) for one in executables]
    from penstock.runtime.staged.staged_instance import staged_instances

    of_python = cast("Sequence[PythonExecutable]", executables)  # as checked above
    return staged_instances(artifact.id, of_python, counts, loop, clock)


def process_copies(
    artifact: ArtifactRef, host: WorkerHost, loop: asyncio.AbstractEventLoop, clock: Clock
) -> Copies:
    """Start so many workers as the manifest says. Blocks; never on the event loop's thread.

    Raises:
        LoadFailed: one did not come up; nothing is left behind.
    """
    from penstock.runtime.process.start import start_instances

    starting = asyncio.run_coroutine_threadsafe(start_instances(artifact, host, clock), loop)
    instances, loaded = starting.result()

    def keep_warm(examples: Sequence[tuple[Tensor, ...]]) -> None:
        for instance in instances:
            instance.revive_with(examples)

    def close() -> None:
        for instance in instances:
            asyncio.run_coroutine_threadsafe(instance.close(), loop).result()

    return Copies(instances, loaded.signature, loaded.platform, keep_warm, close)
