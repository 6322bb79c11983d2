"""broker_fault: what went wrong at a broker, in the words of every stream. Pure."""

from __future__ import annotations

from penstock.core.errors import ConfigError, StreamError

_RETRY_AFTER_S = 1.0


def broker_fault(
    broker: str, stream: str, happened: str, remedy: str, *, retryable: bool = True
) -> StreamError:
    """An error that names broker and stream, what happened, and what to do.

    Args:
        broker: its kind and address, such as ``nats://host:4222``; never with a password.
        stream: the topic, stream or queue.
        happened: what.
        remedy: what to do about it.
        retryable: whether it may pass with nothing changed.
    """
    return StreamError(
        f"{broker}, {stream!r}: {happened.removesuffix('.')}; {remedy}",
        retryable=retryable,
        retry_after_s=_RETRY_AFTER_S if retryable else None,
    )


def is_missing(broker: str, package: str, extra: str) -> ConfigError:
    """The error for a client library that is not installed.

    Args:
        broker: what it is for.
        package: its name.
        extra: ours that has it.
    """
    return ConfigError(f"{broker} needs {package}: pip install 'penstock[{extra}]'")
