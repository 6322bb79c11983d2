"""Copies of a version brought up and warmed up: what a server and a job do alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from penstock.app.copies import Copies, check_wanted, process_copies, thread_copies
from penstock.core.clock import Clock
from penstock.core.errors import ConfigError, LoadFailed
from penstock.core.ids import LATEST
from penstock.core.model import ModelClient
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference.rest_request import decode_infer
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.declared import declare
from penstock.runtime.instance import Instance
from penstock.runtime.saved_example import saved_example
from penstock.runtime.warmup import example_inputs, warm_up
from penstock.scheduler.model_info import ModelInfo, max_batch_size

if TYPE_CHECKING:
    from penstock.runtime.process.worker_host import WorkerHost


class Surroundings(NamedTuple):
    """What copies need of the program they are in.

    Attributes:
        client: how their model may call others.
        workers: what worker processes share, made when the first is started; None: there are none.
        loop: where results are told, and worker processes looked after.
        clock: the time.
    """

    client: ModelClient
    workers: Callable[[], WorkerHost] | None
    loop: asyncio.AbstractEventLoop
    clock: Clock


def warm_copies(
    artifact: ArtifactRef, around: Surroundings, is_off: threading.Event
) -> tuple[ModelInfo, Copies]:
    """Load so many copies as the manifest says, and run each before it gets work.

    Args:
        artifact: what is loaded.
        around: what the copies need.
        is_off: set once nobody waits for them any more.

    Raises:
        Cancelled: the load was called off.
        LoadFailed: a copy does not load, or fails its warm-up; nothing is left behind.
        Exception: what the runtime raises; nothing is left behind either.

    Concurrency: blocks; never on the event loop's thread.
    """
    copies: Copies | None = None
    try:
        copies = _copies(artifact, around, is_off)
        signature = _declared(artifact, copies.signature)
        _check_batch_sizes(artifact, signature)
        examples = _examples(artifact, signature)
        one_each = copies.instances[: artifact.manifest.instances.count]  # others share a copy
        warm_up_ns = max(_warm_up(artifact, one, examples, is_off) for one in one_each)
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
    artifact: ArtifactRef,
    instance: Instance,
    examples: Sequence[tuple[Tensor, ...]],
    is_off: threading.Event,
) -> int:
    check_wanted(artifact, is_off)
    return warm_up(artifact.id, instance, examples)


def _copies(artifact: ArtifactRef, around: Surroundings, is_off: threading.Event) -> Copies:
    if artifact.manifest.instances.kind == "thread":
        return thread_copies(artifact, around.client, around.loop, around.clock, is_off)
    if around.workers is None:
        raise LoadFailed(f"{artifact.id}: there are no worker processes here")
    return process_copies(artifact, around.workers(), around.loop, around.clock, is_off)


def _check_batch_sizes(artifact: ArtifactRef, signature: ModelSignature) -> None:
    """See that no preferred size is beyond a batch, now that the default is known."""
    manifest = artifact.manifest
    limit = max_batch_size(signature, manifest)
    too_large = [size for size in manifest.batching.preferred_batch_sizes if size > limit]
    if too_large:
        default = " by default" if manifest.max_batch_size is None else ""
        raise LoadFailed(
            f"{artifact.id}: batching.preferred_batch_sizes: {too_large[0]} is more than "
            f"max_batch_size, which is {limit}{default}"
        )


def _declared(artifact: ArtifactRef, signature: ModelSignature) -> ModelSignature:
    try:
        return declare(signature, artifact.manifest)
    except ConfigError as err:
        raise LoadFailed(f"{artifact.id}: {err.message}") from err


def _examples(artifact: ArtifactRef, signature: ModelSignature) -> list[tuple[Tensor, ...]]:
    warmup = artifact.manifest.warmup
    if warmup is None:
        return [saved_example(artifact, signature) or example_inputs(signature)]
    examples = []
    for example in warmup:
        examples += [_read_example(artifact, example.file, signature)] * example.count
    return examples


def _read_example(
    artifact: ArtifactRef, file: str, signature: ModelSignature
) -> tuple[Tensor, ...]:
    """A V2 JSON request from the version's folder, else from the model's."""
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
