"""NatsSink: a subject that a stream of NATS JetStream keeps; one effect for each id."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_from_bytes

from nats.js import errors as js_errors

from penstock.core.errors import ConfigError
from penstock.jobs.stream.nats_link import NatsLink
from penstock.jobs.stream.nats_source import KEY_HEADER
from penstock.jobs.stream.record import Produced
from penstock.jobs.stream.spec_brokers import NatsOutput


class _Batch:
    """What was sent together: how many answers are missing, and the first error.

    Attributes:
        done: set when all have answered, or one with an error.
    """

    def __init__(self, missing: int) -> None:
        self._missing = missing
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(self) -> None:
        self._missing -= 1
        if not self._missing and not self.done.done():
            self.done.set_result(None)

    def failed(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class NatsSink:
    """Sends a micro-batch at once, and waits until the server has answered for each message.

    Each carries its ``Produced.id`` as ``Nats-Msg-Id``: sent twice within the stream's duplicate
    window it is kept once.

    Args:
        spec: where to.

    Raises:
        ConfigError: the URL is wrong, or ``create`` lacks a stream.

    Concurrency: on one event loop.
    """

    def __init__(self, spec: NatsOutput) -> None:
        if spec.create and not spec.stream:
            raise ConfigError("create: needs the stream's name in stream")
        self._spec = spec
        self._link = NatsLink(spec.url, spec.stream or spec.subject, self._on_trouble)
        self._batches: dict[str, _Batch] = {}
        self._numbers = itertools.count()
        self._inbox = ""

    async def open(self) -> None:
        """Connect.

        Raises:
            StreamError: the server cannot be reached, or refuses.
        """
        spec, link = self._spec, self._link
        stream = await link.connect()
        if spec.create:
            await link.ensure_stream(stream, spec.stream, spec.subject)
        with link.translated():
            self._inbox = link.client.new_inbox()
            await link.client.subscribe(f"{self._inbox}.*", cb=self._on_answer)

    def _on_trouble(self, error: Exception) -> None:
        for batch in self._batches.values():
            batch.failed(error)

    async def write(self, results: Sequence[Produced]) -> None:
        """Send; all of them are stored when this returns.

        Raises:
            StreamError: not all are; they may be sent again.
        """
        if not results:
            return
        if not self._link.is_up:
            await self.open()
        number = str(next(self._numbers))
        batch = self._batches[number] = _Batch(len(results))
        reply = f"{self._inbox}.{number}"
        try:
            with self._link.translated():
                async with asyncio.timeout(self._spec.send_timeout_s):
                    publish = self._link.client.publish
                    for result in results:
                        headers = _headers(result, self._spec.stream)
                        await publish(self._spec.subject, result.value, reply, headers)
                    await batch.done
        finally:
            del self._batches[number]
        self._link.raise_heard()

    async def _on_answer(self, message: Any) -> None:
        batch = self._batches.get(message.subject.rpartition(".")[2])
        if batch is None:
            return
        if message.headers:  # a status: nobody keeps the subject
            batch.failed(js_errors.NoStreamResponseError())
        elif b'"error"' in message.data:
            try:
                js_errors.APIError.from_error(json.loads(message.data)["error"])
            except js_errors.APIError as err:
                batch.failed(err)
        else:
            batch.answered()

    async def close(self) -> None:
        """Leave."""
        await self._link.close()


def _headers(result: Produced, stream: str) -> dict[str, str]:
    headers = _as_text(result.headers)
    headers["Nats-Msg-Id"] = result.id
    if stream:
        headers["Nats-Expected-Stream"] = stream
    if result.key is not None:
        headers[KEY_HEADER] = quote_from_bytes(result.key)
    return headers


def _as_text(headers: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.decode(errors="replace") for name, value in headers.items()}
