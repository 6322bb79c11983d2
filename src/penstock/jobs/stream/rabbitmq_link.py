"""RabbitLink: a channel to RabbitMQ, and the library's errors as ours."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import aio_pika
from aiormq import exceptions
from pamqp.exceptions import PAMQPException

from penstock.core.errors import StreamError
from penstock.jobs.stream.broker_fault import broker_fault
from penstock.jobs.stream.broker_url import parse_broker_url

_ANSWER_S: Final = 10.0
_ERRORS: Final = (
    exceptions.AMQPError,
    exceptions.ChannelInvalidStateError,
    PAMQPException,
    OSError,
    TimeoutError,
)
_REFUSALS: Final = (
    exceptions.AuthenticationError,
    exceptions.ProbableAuthenticationError,
    exceptions.ChannelAccessRefused,
    exceptions.ConnectionNotAllowed,
)


class RabbitLink:
    """One connection with one channel. It does not come back by itself: whoever finds it down
    opens it again.

    Args:
        url: ``amqp://`` or ``amqps://[user[:password]@]host[:port][,host...][/virtual-host]``.
        queue: what errors call the queue.
        on_down: called when the channel is gone, whyever.

    Raises:
        ConfigError: the URL is wrong.
    """

    def __init__(self, url: str, queue: str, on_down: Callable[[], None]) -> None:
        self._address = parse_broker_url(url, ("amqp", "amqps"), os.environ)
        self._queue = queue
        self._on_down = on_down
        self._connection: Any = None
        self._channel: Any = None
        self._heard: BaseException | None = None
        self.channel: Any = None
        """What speaks AMQP; None: it is down."""

    async def connect(self, *, confirms: bool) -> Any:
        """Open connection and channel.

        Args:
            confirms: whether the broker says of each message sent that it has it.

        Raises:
            StreamError: the broker is away, or refuses.
        """
        await self.close()
        self._heard = None
        with self.translated():
            self._connection = await self._dial()
            self._connection.close_callbacks.add(self._went_down)
            self._channel = await self._connection.channel(
                publisher_confirms=confirms, on_return_raises=confirms
            )
            self._channel.close_callbacks.add(self._went_down)
            channel = await self._channel.get_underlay_channel()
            channel.on_consumer_cancel_callbacks.add(self._cancelled)
        self.channel = channel
        return channel

    async def _dial(self) -> Any:
        address = self._address
        last: BaseException = ConnectionError("no host answers")
        for host in address.hosts:
            name, _, port = host.rpartition(":")
            try:
                return await aio_pika.connect(
                    host=name.strip("[]"),
                    port=int(port),
                    login=address.username or "guest",
                    password=address.password or ("" if address.username else "guest"),
                    virtualhost=address.path or "/",
                    ssl=address.has_tls,
                    ssl_context=ssl.create_default_context() if address.has_tls else None,
                    timeout=_ANSWER_S,
                    client_properties={"connection_name": "penstock"},
                )
            except _REFUSALS:
                raise
            except _ERRORS as err:
                last = err
        raise last

    async def declare(self, kind: str, arguments: Mapping[str, Any], *, create: bool) -> int:
        """See to the queue; how many records wait in it.

        Args:
            kind: ``quorum`` or ``classic``.
            arguments: besides, where it is made.
            create: make it if it is not there.

        Raises:
            StreamError: it is not there, or is another than described.
        """
        with self.translated():
            found = await self.live().queue_declare(
                self._queue,
                passive=not create,
                durable=True,
                arguments={"x-queue-type": kind, **arguments} if create else None,
                timeout=_ANSWER_S,
            )
        return int(found.message_count or 0)

    def live(self) -> Any:
        """The channel.

        Raises:
            ConnectionError: it is down.
        """
        if self.channel is None:
            raise self._heard or ConnectionError("the connection is down")
        return self.channel

    async def _cancelled(self, frame: Any) -> None:
        self._went_down(self, exceptions.ChannelNotFoundEntity("the broker ended the consuming"))

    def _went_down(self, sender: object, error: BaseException | None) -> None:
        if self._heard is None:
            self._heard = error
        if self.channel is not None:
            self.channel = None
            self._on_down()

    async def close(self) -> None:
        """Leave; what was sent is received first. Never raises."""
        self.channel = None
        for one in (self._channel, self._connection):
            if one is not None and not one.is_closed:
                try:
                    await asyncio.wait_for(one.close(), _ANSWER_S)
                except _ERRORS:
                    continue
        self._channel = self._connection = None

    @contextmanager
    def translated(self) -> Iterator[None]:
        """The library's errors as StreamError."""
        try:
            yield
        except _ERRORS as err:
            raise self.fault(err) from err

    def fault(self, error: BaseException) -> StreamError:
        """The error for what the library raised; for what it heard before, where it tells more."""
        where, queue = str(self._address), self._queue
        if isinstance(self._heard, exceptions.AMQPError):
            error = self._heard
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, _REFUSALS):
            remedy = (
                "look at user, password and virtual host of the URL (or PENSTOCK_RABBITMQ_USERNAME "
                "and PENSTOCK_RABBITMQ_PASSWORD), and at the user's permissions there"
            )
            return broker_fault(where, queue, f"refused: {said}", remedy, retryable=False)
        if isinstance(error, exceptions.ChannelPreconditionFailed):
            remedy = "say the kind that the queue has, or leave create out"
            return broker_fault(where, queue, said, remedy, retryable=False)
        if isinstance(error, exceptions.ChannelNotFoundEntity | exceptions.PublishError):
            remedy = "make the queue, say create: true, or correct the name"
            return broker_fault(where, queue, f"not there: {said}", remedy)
        if isinstance(error, exceptions.DeliveryError):
            remedy = "see whether the queue is full, or has lost most of its replicas"
            return broker_fault(where, queue, f"not stored: {said}", remedy)
        remedy = "see whether the broker is up, and can be reached"
        return broker_fault(where, queue, said, remedy)
