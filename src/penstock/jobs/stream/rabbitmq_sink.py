"""RabbitSink: a queue of RabbitMQ, or an exchange, with publisher confirms."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pamqp import commands

from penstock.core.errors import ConfigError
from penstock.jobs.stream.rabbitmq_link import RabbitLink
from penstock.jobs.stream.rabbitmq_source import KEY_HEADER
from penstock.jobs.stream.record import Produced
from penstock.jobs.stream.spec_brokers import RabbitOutput


class RabbitSink:
    """Sends a micro-batch at once, and waits until the broker has confirmed each message.

    Each carries its ``Produced.id`` as message id. RabbitMQ keeps what is sent twice, twice:
    whoever reads has to tell by that id.

    Args:
        spec: where to.

    Raises:
        ConfigError: the URL is wrong, or ``create`` stands with an exchange.

    Concurrency: on one event loop.
    """

    def __init__(self, spec: RabbitOutput) -> None:
        if spec.create and spec.exchange:
            raise ConfigError("create: makes a queue; leave it out with an exchange")
        self._spec = spec
        self._link = RabbitLink(spec.url, spec.queue, lambda: None)

    async def open(self) -> None:
        """Connect.

        Raises:
            StreamError: the broker cannot be reached, or refuses; or the queue is not there.
        """
        await self._link.connect(confirms=True)
        if not self._spec.exchange:
            await self._link.declare(self._spec.kind, {}, create=self._spec.create)

    async def write(self, results: Sequence[Produced]) -> None:
        """Send; all of them are confirmed when this returns.

        Raises:
            StreamError: not all are; those that are may be sent again.
        """
        if self._link.channel is None:
            await self.open()
        with self._link.translated():
            channel = self._link.live()
            answers = await asyncio.gather(
                *(self._publish(channel, result) for result in results), return_exceptions=True
            )
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer

    async def _publish(self, channel: Any, result: Produced) -> None:
        await channel.basic_publish(
            result.value,
            exchange=self._spec.exchange,
            routing_key=self._spec.queue,
            properties=_properties(result),
            mandatory=True,
            timeout=self._spec.send_timeout_s,
            wait=False,
        )

    async def close(self) -> None:
        """Leave."""
        await self._link.close()


def _properties(result: Produced) -> commands.Basic.Properties:
    headers: dict[str, Any] = {name: _text(value) for name, value in result.headers.items()}
    if result.key is not None:
        headers[KEY_HEADER] = bytearray(result.key)
    return commands.Basic.Properties(
        delivery_mode=2, message_id=result.id, headers=headers, timestamp=datetime.now(UTC)
    )


def _text(value: bytes) -> str | bytearray:
    """As text where it is some: most clients expect that of a header."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return bytearray(value)
