"""ServerCalls: V2 gRPC calls of a server that runs, each in bounded time and number."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import grpc
import tenacity

from penstock.core.errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidArgument,
    ModelFailed,
    NotFound,
    NotReady,
    PenstockError,
    TooLarge,
    Unsupported,
)
from penstock.dialects.open_inference.grpc_client import SERVICE
from penstock.jobs.model_ref import ModelRef

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_UNREACHED: Final = ("failed to connect", "DNS resolution failed", "empty address list")
"""How grpcio begins what it says of a server that it does not reach."""
_ERRORS: Final[Mapping[grpc.StatusCode, type[PenstockError]]] = {
    grpc.StatusCode.UNAVAILABLE: NotReady,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TooLarge,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
}
"""What a status means; every other one is the model's or the server's failure."""


class ServerCalls:
    """A connection of its own to a server.

    Args:
        ref: with a ``url``.
        pause: waits between tries.

    Raises:
        ConfigError: the URL is no gRPC address.

    Concurrency: blocks; any thread.
    """

    def __init__(self, ref: ModelRef, pause: Callable[[float], None] = time.sleep) -> None:
        self.url = ref.url or ""
        self._timeout_s = ref.timeout_s
        address, is_secure = _address(self.url)
        options = (
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),  # else all copies share one connection
        )
        self._channel = (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(), options)
            if is_secure
            else grpc.insecure_channel(address, options)
        )
        self._tries = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ref.attempts),
            wait=tenacity.wait_random_exponential(_FIRST_WAIT_S, _LONGEST_WAIT_S),
            retry=tenacity.retry_if_exception(_may_pass),
            sleep=pause,
            reraise=True,
        )

    def call(self, method: str, body: bytes) -> bytes:
        """Send a message and wait for the answer.

        Raises:
            NotReady, DeadlineExceeded: the last try ended so, too.
            InvalidArgument, NotFound, Unsupported: the server says no, in its own words.
            TooLarge: the message, or its answer, is larger than the server takes.
            ModelFailed: anything else.
        """
        return self._tries(self._call, method, body)

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def _call(self, method: str, body: bytes) -> bytes:
        send = self._channel.unary_unary(
            f"{SERVICE}/{method}", request_serializer=bytes, response_deserializer=bytes
        )
        try:
            answer: bytes = send(body, timeout=self._timeout_s)
        except grpc.RpcError as err:
            raise self._error(err) from err
        return answer

    def _error(self, err: grpc.RpcError) -> PenstockError:
        code, details = err.code(), err.details() or "it says no more"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            details = f"no answer within {self._timeout_s:g} s: set 'timeout_s', or a smaller batch"
        elif code is grpc.StatusCode.UNAVAILABLE and details.startswith(_UNREACHED):
            why = details.rpartition(": ")[2]
            details = (
                f"no server answers there ({why}): start one with 'penstock serve', or correct "
                f"'model.url'"
            )
        return _ERRORS.get(code, ModelFailed)(f"{self.url}: {details}")


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, PenstockError) and error.retryable


def _address(url: str) -> tuple[str, bool]:
    """What grpcio dials, and whether with TLS.

    Raises:
        ConfigError: it is no gRPC address.
    """
    parts = urlsplit(url if "://" in url else f"grpc://{url}")
    try:
        has_port = parts.port is not None
    except ValueError:
        has_port = False
    if parts.scheme not in ("grpc", "grpcs") or not parts.hostname or not has_port:
        raise ConfigError(
            f"model.url: expected a server's gRPC address such as grpc://host:8081, got '{url}'"
            + ("; 'penstock serve' says its gRPC port when it is ready" if "http" in url else "")
        )
    return parts.netloc, parts.scheme == "grpcs"
