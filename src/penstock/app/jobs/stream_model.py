"""The model of a stream: inside this process, or of a server that runs.

Inside the process it is a whole server without sockets rather than copies of the model on
threads: micro-batches that are under way together are merged and padded by the scheduler, a fast
model answers on the event loop without a hop, the next batch lies ready while one is computed, and
a newer version takes over between two micro-batches.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

from penstock.app.embedded import Models, serving
from penstock.app.jobs.named_path import named_path
from penstock.core.deadline import Deadline
from penstock.core.errors import ConfigError, InvalidInput
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.jobs.model_ref import ModelRef
from penstock.jobs.predictor import Predictor, Predictors
from penstock.jobs.stream.model import Prediction, StreamModel
from penstock.scheduler.batch import join
from penstock.server.service import ModelService

_AT_ONCE = 100
"""Rows that are asked for one by one, at once: fewer than a model's queue takes."""


@asynccontextmanager
async def open_model(
    ref: ModelRef, *, in_flight: int, timeout_s: float
) -> AsyncIterator[StreamModel]:
    """Have a model ready.

    Args:
        ref: which; see ``ModelRef``. All models at its ``path`` are loaded, as by ``penstock
            serve``: one may call another.
        in_flight: calls that are under way at once.
        timeout_s: how long one may take.

    Raises:
        ConfigError: there is no such model, or the reference is wrong.
        LoadFailed, NotReady, NotFound: it cannot be had.
    """
    if ref.path is None:
        remote = await asyncio.to_thread(_open_remote, ref, in_flight)
        try:
            yield remote
        finally:
            await asyncio.to_thread(remote.close)
        return
    async with _served(ref.path) as models:
        name = ref.name or _only(models.service, ref)
        choice = VersionChoice.parse(str(ref.version))
        model = EmbeddedModel(models.service, name, choice, timeout_s)
        model.signature()  # raises where there is none
        yield model


@asynccontextmanager
async def _served(path: str) -> AsyncIterator[Models]:
    """As ``serving``; see ``named_path``."""
    async with AsyncExitStack() as stack:
        with named_path(path):
            models = await stack.enter_async_context(serving(path))
        yield models


def _only(service: ModelService, ref: ModelRef) -> str:
    names = sorted({status.id.name for status in service.manager.statuses()})
    if len(names) != 1:
        raise ConfigError(
            f"model.path: {ref.path} holds several models: say 'name', one of {', '.join(names)}"
        )
    return names[0]


class EmbeddedModel:
    """A ``StreamModel`` served inside this process: the version is chosen anew for each call, by
    number, label or route.

    Args:
        service: what serves it.
        name: the model's name.
        choice: which version.
        timeout_s: how long a call may take.

    Attributes:
        name: the model's name.
    """

    def __init__(
        self, service: ModelService, name: str, choice: VersionChoice, timeout_s: float
    ) -> None:
        self.name = name
        self._service = service
        self._choice = choice
        self._timeout_s = timeout_s

    def signature(self) -> ModelSignature:
        """See ``StreamModel.signature``."""
        return self._service.model(self.name, self._choice).signature

    async def predict(self, inputs: tuple[Tensor, ...]) -> Prediction:
        """See ``StreamModel.predict``."""
        try:
            response = await self._infer(inputs, self._choice)
        except InvalidInput as err:
            rows = inputs[0].shape[0]
            if rows == 1:
                version = self._service.model(self.name, self._choice).id.version
                return Prediction(version, (), {0: err})
            return await self._one_by_one(inputs, rows)
        variant = response.parameters.get("variant", "")
        return Prediction(response.version, response.outputs, variant=str(variant))

    async def _one_by_one(self, inputs: tuple[Tensor, ...], rows: int) -> Prediction:
        """A request for each row, of one version, which the scheduler puts together again: so
        each invalid row is found at once.
        """
        version = self._service.model(self.name, self._choice).id.version
        choice = VersionChoice(version=version)
        invalid: dict[int, InvalidInput] = {}
        answered = []
        for start in range(0, rows, _AT_ONCE):
            numbers = range(start, min(rows, start + _AT_ONCE))
            singles = (tuple(tensor.rows(n, n + 1) for tensor in inputs) for n in numbers)
            outcomes = await asyncio.gather(
                *(self._infer(single, choice) for single in singles), return_exceptions=True
            )
            for number, outcome in zip(numbers, outcomes, strict=True):
                if isinstance(outcome, InvalidInput):
                    invalid[number] = outcome
                elif isinstance(outcome, BaseException):
                    raise outcome
                else:
                    answered.append(outcome.outputs)
        return Prediction(version, join(answered) if answered else (), invalid)

    async def _infer(self, inputs: tuple[Tensor, ...], choice: VersionChoice) -> InferResponse:
        deadline = Deadline.after(self._timeout_s, self._service.clock.monotonic_ns())
        return await self._service.infer(InferRequest(self.name, inputs, choice, deadline=deadline))


class RemoteModel:
    """A ``StreamModel`` of a server: one call over each connection at a time, on threads.

    Args:
        predictors: of that server; the version is settled with them.
        in_flight: calls that are under way at once.

    Attributes:
        name: the model's name.
    """

    def __init__(self, predictors: Predictors, in_flight: int) -> None:
        self.name = predictors.identity.name
        self._predictors = predictors
        self._idle: queue.SimpleQueue[Predictor] = queue.SimpleQueue()
        self._all = [predictors.open() for _ in range(in_flight)]
        for predictor in self._all:
            self._idle.put(predictor)
        self._threads = ThreadPoolExecutor(in_flight, thread_name_prefix="penstock-stream")

    def signature(self) -> ModelSignature:
        """See ``StreamModel.signature``."""
        return self._predictors.signature

    async def predict(self, inputs: tuple[Tensor, ...]) -> Prediction:
        """See ``StreamModel.predict``."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._predict, inputs)

    def close(self) -> None:
        """Give the connections back. Blocks."""
        self._threads.shutdown(cancel_futures=True)
        for predictor in self._all:
            predictor.close()
        self._predictors.close()

    def _predict(self, inputs: tuple[Tensor, ...]) -> Prediction:
        predictor = self._idle.get()
        try:
            result = predictor.predict(inputs)
        finally:
            self._idle.put(predictor)
        version = self._predictors.identity.version
        return Prediction(version, result.outputs, result.invalid)


def _open_remote(ref: ModelRef, in_flight: int) -> RemoteModel:
    from penstock.app.jobs.predictors import open_predictors

    return RemoteModel(open_predictors(ref), in_flight)
