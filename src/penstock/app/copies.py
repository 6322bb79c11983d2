"""Copies: every instance of one version, on threads or in processes, brought up together."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError as CancelledFuture
from concurrent.futures import wait
from typing import TYPE_CHECKING, NamedTuple, cast

from penstock.core.clock import Clock
from penstock.core.errors import Cancelled, LoadFailed
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


_LOOK_S = 0.1
"""How often a load that waits for workers looks whether anybody waits for it."""


class Copies(NamedTuple):
    """What was brought up.

    Attributes:
        instances: the copies.
        signature: what the artifact says the model takes and gives.
        platform: the runtime's.
        keep_warm: told the examples that they were warmed up with.
        close: gives everything back, for a load that fails after all, or that nobody waits for
            any more. Blocks; never on the event loop's thread.
    """

    instances: Sequence[Instance]
    signature: ModelSignature
    platform: str
    keep_warm: Callable[[Sequence[tuple[Tensor, ...]]], None]
    close: Callable[[], None]


def thread_copies(
    artifact: ArtifactRef,
    client: ModelClient,
    loop: asyncio.AbstractEventLoop,
    clock: Clock,
    is_off: threading.Event,
) -> Copies:
    """Load so many copies as the manifest says into this process. Blocks.

    Args:
        artifact: what is loaded.
        client: how its model may call others.
        loop: where results are told.
        clock: the time.
        is_off: set once nobody waits for them any more: no further copy is loaded then.

    Raises:
        Cancelled: the load was called off.
        LoadFailed: its stages shall have threads of their own, and it is no Python model.
        Exception: what the runtime raises; nothing is left behind.
    """
    _check_stages(artifact)
    runtime = find_runtime(artifact.runtime)
    executables: list[Executable] = []

    def close() -> None:
        with contextlib.ExitStack() as stack:  # one that raises keeps no other open
            for executable in executables:
                stack.callback(executable.close)

    try:
        while len(executables) < artifact.manifest.instances.count:
            check_wanted(artifact, is_off)
            executables.append(runtime.load(artifact, client))
        signature = executables[0].signature
    except BaseException:
        close()
        raise
    instances = _on_threads(artifact, executables, loop, clock)
    return Copies(instances, signature, runtime.platform, lambda _: None, close)


def check_wanted(artifact: ArtifactRef, is_off: threading.Event) -> None:
    """See that somebody waits for a load.

    Raises:
        Cancelled: it was called off.
    """
    if is_off.is_set():
        raise Cancelled(f"{artifact.id}: its load was called off")


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


async def _close_all(instances: Sequence[Instance]) -> None:
    await asyncio.gather(*(instance.close() for instance in instances))


def process_copies(
    artifact: ArtifactRef,
    host: WorkerHost,
    loop: asyncio.AbstractEventLoop,
    clock: Clock,
    is_off: threading.Event,
) -> Copies:
    """Start so many workers as the manifest says. Blocks; never on the event loop's thread.

    Args:
        artifact: what they load.
        host: what all workers share.
        loop: where they are looked after.
        clock: the time.
        is_off: set once nobody waits for them any more: those that load are ended then.

    Raises:
        Cancelled: the load was called off.
        LoadFailed: one did not come up; nothing is left behind.
    """
    from penstock.runtime.process.start import start_instances

    check_wanted(artifact, is_off)
    starting = asyncio.run_coroutine_threadsafe(start_instances(artifact, host, clock), loop)
    while not wait([starting], _LOOK_S).done:
        if is_off.is_set():
            starting.cancel()
            check_wanted(artifact, is_off)
    instances, loaded = starting.result()

    def keep_warm(examples: Sequence[tuple[Tensor, ...]]) -> None:
        for instance in instances:
            instance.revive_with(examples)

    def close() -> None:
        closing = _close_all(instances)
        try:
            asyncio.run_coroutine_threadsafe(closing, loop).result()
        except (RuntimeError, CancelledFuture):  # the loop has ended: the host ends them
            closing.close()

    return Copies(instances, loaded.signature, loaded.platform, keep_warm, close)
