"""NatsLink: a connection to NATS JetStream, and the library's errors as ours."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from nats import errors
from nats.aio.client import Client
from nats.js import errors as js_errors
from nats.js.api import StreamConfig

from penstock.core.errors import StreamError
from penstock.jobs.stream.broker_fault import broker_fault
from penstock.jobs.stream.broker_url import parse_broker_url

_CONNECT_S: Final = 5.0
_REFUSALS: Final = ("authorization", "authentication", "permissions", "revoked", "expired")


class NatsLink:
    """One connection. It does not come back by itself: whoever finds it down opens it again.

    Args:
        url: ``nats://`` or ``nats+tls://[user:password@]host:port[,host:port]``; a user alone is
            a token.
        stream: what errors call the stream.
        on_trouble: told what the server refused unasked, or that the connection is gone.

    Raises:
        ConfigError: the URL is wrong.
    """

    def __init__(self, url: str, stream: str, on_trouble: Callable[[Exception], None]) -> None:
        self._address = parse_broker_url(url, ("nats", "nats+tls"), os.environ)
        self._stream = stream
        self._on_trouble = on_trouble
        self._heard: Exception | None = None
        self.client: Any = None

    @property
    def is_up(self) -> bool:
        """Whether the connection stands."""
        return self.client is not None and bool(self.client.is_connected)

    async def connect(self) -> Any:
        """Open the connection; gives what speaks JetStream over it.

        Raises:
            StreamError: the servers are away, or refuse.
        """
        address, self._heard = self._address, None
        login: dict[str, Any] = {}
        if address.username and address.password:
            login = {"user": address.username, "password": address.password}
        elif address.username:
            login = {"token": address.username}
        if address.has_tls:
            login["tls"] = ssl.create_default_context()
        await self.close()
        self.client = client = Client()
        try:
            with self.translated():
                await client.connect(
                    [f"nats://{host}" for host in address.hosts],
                    allow_reconnect=False,
                    max_reconnect_attempts=1,  # of the first connection, too
                    reconnect_time_wait=0,
                    connect_timeout=int(_CONNECT_S),
                    error_cb=self._hear,
                    closed_cb=self._went_down,
                    name="penstock",
                    **login,
                )
        except StreamError:
            await self.close()
            raise
        return client.jetstream()

    async def _hear(self, error: Exception) -> None:
        if self._heard is None or not _is_refusal(self._heard):
            self._heard = error
        if _is_refusal(error):
            self._on_trouble(error)

    async def _went_down(self) -> None:
        self._on_trouble(errors.ConnectionClosedError())

    def raise_heard(self) -> None:
        """Raise what the server said unasked since the last time, if it refuses something.

        Raises:
            StreamError: it does.
        """
        heard, self._heard = self._heard, None
        if heard is not None and _is_refusal(heard):
            raise self.fault(heard) from heard

    async def ensure_stream(self, stream: Any, name: str, subject: str) -> None:
        """Make a stream that is not there.

        Raises:
            StreamError: it cannot be made.
        """
        with self.translated():
            try:
                await stream.stream_info(name)
            except js_errors.NotFoundError:
                config = StreamConfig(name=name, subjects=[subject])
                await stream.add_stream(config)

    async def close(self) -> None:
        """Leave. Never raises."""
        client, self.client = self.client, None
        if client is not None and not client.is_closed:
            try:
                await asyncio.wait_for(client.close(), _CONNECT_S)
            except (errors.Error, OSError, TimeoutError):
                return

    @contextmanager
    def translated(self) -> Iterator[None]:
        """The library's errors as StreamError."""
        try:
            yield
        except (errors.Error, OSError, TimeoutError) as err:
            raise self.fault(err) from err

    def fault(self, error: BaseException) -> StreamError:
        """The error for what the library raised, or heard."""
        where, heard = str(self._address), self._heard
        if heard is not None and (_is_refusal(heard) or isinstance(error, errors.NoServersError)):
            error = heard
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if _is_refusal(error):
            remedy = (
                "look at user and password of the URL (or PENSTOCK_NATS_USERNAME and "
                "PENSTOCK_NATS_PASSWORD), and at what the server permits them"
            )
            return broker_fault(where, self._stream, f"refused: {said}", remedy, retryable=False)
        if isinstance(error, errors.MaxPayloadError):
            remedy = "raise max_payload of the server"
            return broker_fault(where, self._stream, said, remedy, retryable=False)
        if isinstance(error, js_errors.NoStreamResponseError | js_errors.NotFoundError):
            remedy = "make the stream (nats stream add), say create: true, or correct the name"
            return broker_fault(where, self._stream, f"not there: {said}", remedy)
        if isinstance(error, js_errors.BadRequestError):
            remedy = "look at the stream and the consumer (nats consumer info)"
            return broker_fault(where, self._stream, said, remedy, retryable=False)
        remedy = "see whether the server is up, with JetStream, and can be reached"
        return broker_fault(where, self._stream, said, remedy)


def _is_refusal(error: BaseException) -> bool:
    if isinstance(error, errors.AuthorizationError):
        return True
    text = str(error).lower()
    return isinstance(error, errors.Error) and any(word in text for word in _REFUSALS)
