"""Settings: the options of every floor, from file, environment and flags, in that order.

``penstock.yaml`` < ``PENSTOCK_...`` (``__`` between levels) < command line. Unknown names are
errors with the nearest name, wherever they come from (docs/decisions/0006-settings.md).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from penstock.repository.filesystem_source import WatchOptions
from penstock.server.exchange import Limits

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An immutable value that refuses fields it does not know."""


class HttpSettings(_Strict, frozen=True):
    """The HTTP door.

    Attributes:
        port: TCP port; 0: any that is free.
        backlog: connections the kernel keeps waiting.
        limits: bounds of one request.
    """

    port: Port = 8080
    backlog: AtLeastOne = 1024
    limits: Limits = Limits()


class GrpcSettings(_Strict, frozen=True):
    """The gRPC door.

    Attributes:
        enabled: whether there is a gRPC port at all.
        port: TCP port; 0: any that is free.
        max_message_bytes: the most a message may take; -1: no limit.
    """

    enabled: bool = True
    port: Port = 8081
    max_message_bytes: int = -1


class TelemetrySettings(_Strict, frozen=True):
    """What the server tells of itself.

    Attributes:
        log_format: ``human`` or ``json`` lines.
        log_level: the lowest level that is logged.
        tracing: export OpenTelemetry spans; ``OTEL_*`` says where to.
    """

    log_format: Literal["human", "json"] = "human"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    tracing: bool = False


class WatchSettings(_Strict, frozen=True):
    """How the repository is watched.

    Attributes:
        settle_s: a version counts once it has been quiet for this long, in seconds.
        poll_interval_s: looks are taken at least this often, in seconds.
        force_polling: never ask for file system events, where they do not come.
    """

    settle_s: NonNegative = 1.0
    poll_interval_s: Positive = 5.0
    force_polling: bool = False

    def options(self, model_control: str) -> WatchOptions:
        """What the source is given; only the mode ``watch`` follows changes."""
        return WatchOptions(
            settle_s=self.settle_s,
            poll_interval_s=self.poll_interval_s,
            force_polling=self.force_polling,
            watch=model_control == "watch",
        )


class LifecycleSettings(_Strict, frozen=True):
    """How versions are loaded and replaced.

    Attributes:
        transition: ``availability``: the new version is ready before the old one goes;
            ``resource``: the old one goes first, for models too large to be there twice.
        max_concurrent_loads: loads that run at once.
        load_attempts: how often a load is tried.
        initial_backoff_s: wait after the first failed attempt, in seconds; it doubles.
        max_backoff_s: the longest wait between attempts, in seconds.
    """

    transition: Literal["availability", "resource"] = "availability"
    max_concurrent_loads: AtLeastOne = 2
    load_attempts: AtLeastOne = 3
    initial_backoff_s: NonNegative = 0.5
    max_backoff_s: NonNegative = 30.0


class ResponseCacheSettings(_Strict, frozen=True):
    """Where answers are kept of models whose model.yaml has a ``response_cache``.

    Attributes:
        url: the store: ``memory://?max_bytes=256MiB``, ``sqlite:///file.db``,
            ``redis://host:6379/0``, ``rediss://...`` or ``unix:///path/to/socket``.
        timeout_s: the longest a request waits for the store, in seconds; then it is computed.
    """

    url: str = "memory://?max_bytes=256MiB"
    timeout_s: Positive = 0.05


class Settings(_Strict, frozen=True):
    """Everything a server can be told, beside its models.

    Attributes:
        host: address to bind; only this machine unless told otherwise.
        server_name: the name in the protocol's server metadata.
        model_control: ``watch``: follow the repository; ``explicit``: load and unload by API;
            ``none``: load once at start.
        load_models: with ``explicit``, models to load at start; ``*``: all.
        drain_timeout_s: how long requests under way may take when the server stops, in seconds.
        http: the HTTP door.
        grpc: the gRPC door.
        watch: how the repository is watched.
        lifecycle: how versions are loaded and replaced.
        response_cache: where answers are kept that are given again.
        telemetry: logs, metrics, traces.
    """

    host: str = "127.0.0.1"
    server_name: str = "penstock"
    model_control: Literal["watch", "explicit", "none"] = "watch"
    load_models: tuple[str, ...] = ()
    drain_timeout_s: NonNegative = 30.0
    http: HttpSettings = HttpSettings()
    grpc: GrpcSettings = GrpcSettings()
    watch: WatchSettings = WatchSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    response_cache: ResponseCacheSettings = ResponseCacheSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
