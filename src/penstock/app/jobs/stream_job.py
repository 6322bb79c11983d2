"""StreamJob: a stream put together from what STREAM.yaml says, and run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from penstock.app.jobs.stream_model import open_model
from penstock.jobs.batch.user_function import load_function
from penstock.jobs.stream.decode import Decoder
from penstock.jobs.stream.delivery import Delivery, Doors, Rejection
from penstock.jobs.stream.encode import Encoder
from penstock.jobs.stream.micro_batch import MicroBatches
from penstock.jobs.stream.model import StreamModel
from penstock.jobs.stream.open_broker import open_doors
from penstock.jobs.stream.retry import BackOff, Patience
from penstock.jobs.stream.runner import RunnerOptions, StreamRunner
from penstock.jobs.stream.spec import StreamSpec
from penstock.jobs.stream.under_way import Limits
from penstock.telemetry.stream_metrics import metrics_page
from penstock.telemetry.stream_stats import StreamStats


class StreamJob:
    """One run of a stream.

    Args:
        spec: the stream.
        folder: where the files stand that it names by a relative path.

    Attributes:
        stats: what it counts; read them as it runs.
        metrics_port: where its metrics are shown; 0: nowhere.
    """

    def __init__(self, spec: StreamSpec, folder: Path) -> None:
        self._spec = spec
        self._folder = folder
        self.stats = StreamStats(spec.name)
        self.metrics_port = 0

    async def run(
        self, stopping: asyncio.Event, on_ready: Callable[[], None] | None = None
    ) -> None:
        """Run until told to stop; what is under way is finished first.

        Args:
            stopping: set by somebody else when it shall end.
            on_ready: called when the model is ready, before the first record.

        Raises:
            ConfigError: the stream does not fit itself, its model or its brokers.
            StreamError: a broker refuses, is not there at the start, or too much is rejected.
            LoadFailed, NotReady, NotFound: the model cannot be had.
        """
        spec = self._spec
        decoder, encoder = self._decoder(), self._encoder()
        doors = open_doors(spec)
        async with (
            self._metrics(),
            open_model(
                spec.model, in_flight=spec.in_flight, timeout_s=spec.predict_timeout_s
            ) as model,
        ):
            signature = model.signature()
            decoder.decode((), signature)  # the columns fit the model
            encoder.check(signature)
            if on_ready is not None:
                on_ready()
            await make_runner(spec, doors, model, self.stats, (decoder, encoder)).run(stopping)

    def _decoder(self) -> Decoder:
        spec = self._spec
        own = self._own(spec.decode, "decode")
        return Decoder(spec.columns, own)

    def _encoder(self) -> Encoder:
        spec = self._spec
        own = self._own(spec.encode, "encode")
        return Encoder(spec.keep, spec.rename, own)

    def _own(self, place: str, field: str) -> Callable[..., Any] | None:
        return load_function(place, self._folder, field)[0] if place else None

    @asynccontextmanager
    async def _metrics(self) -> AsyncIterator[None]:
        with contextlib.ExitStack() as stack:
            shown = self._spec.metrics
            if shown is not None:
                page = metrics_page(self.stats, shown.host, shown.port)
                self.metrics_port = stack.enter_context(page)
            yield


def make_runner(
    spec: StreamSpec,
    doors: Doors,
    model: StreamModel,
    stats: StreamStats,
    codec: tuple[Decoder, Encoder],
) -> StreamRunner:
    """The runner of a stream; nothing starts here."""
    on_error = spec.on_error
    back_off = BackOff(on_error.initial_backoff_s, on_error.max_backoff_s)
    patience = Patience(stats, back_off)
    batches = MicroBatches(model, *codec, patience, on_error.max_attempts)
    rejection = Rejection(on_error.poison, on_error.stop_after)
    delivery = Delivery(doors, batches, patience, rejection, stats, model.name)
    options = RunnerOptions(
        limits=Limits(spec.micro_batch.max_records, spec.in_flight, spec.max_bytes),
        max_delay_s=spec.micro_batch.max_delay_s,
        back_off=back_off,
        drain_s=spec.drain_timeout_s,
    )
    return StreamRunner(doors, delivery, options, stats)
