"""Settings: the options of every floor, from file, environment and flags, in that order.

``penstock.yaml`` < ``PENSTOCK_...`` (``__`` between levels) < command line. Unknown names are
errors with the nearest name, wherever they come from (docs/decisions/0006-settings.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from penstock.core.byte_size import ByteSize
from penstock.repository.filesystem_source import WatchOptions
from penstock.repository.listing import MAX_ENTRIES
from penstock.repository.package_options import PackageIntake, PackageOptions, default_cache
from penstock.server.exchange import Limits
from penstock.server.grpc_engine import EngineName

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Processes = Annotated[int, msgspec.Meta(ge=1, le=256)] | Literal["auto"]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Niceness = Annotated[int, msgspec.Meta(ge=0, le=19)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


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
        engine: what carries it: ``nghttp2``, which needs the library of that name; ``grpcio``,
            which is slower and always there; ``auto``: the first where it is installed.
        max_message_bytes: the most a message may take; -1: no limit.
    """

    enabled: bool = True
    port: Port = 8081
    engine: EngineName = "auto"
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


class MemorySettings(_Strict, frozen=True):
    """How much memory the loaded models may take together, and what becomes of the others.

    Attributes:
        budget_bytes: the most that all loaded models may hold, as ``512MiB``; 0: what the machine,
            or the container's limit, has left.
        on_demand: load a model when a request for it comes, and unload the least recently used
            ones when there is no room; ``keep_loaded: true`` in model.yaml makes an exception.
        min_loaded_s: a model that was loaded on demand stays for this long, at least, before
            another one may take its place, in seconds.
        room_wait_s: how long requests wait for room while all loaded models are in use or have
            only just come, in seconds; then they are refused.
        max_waiting_requests: requests that may wait for models to be loaded, all models together.
    """

    budget_bytes: ByteSize = ByteSize(0)
    on_demand: bool = False
    min_loaded_s: NonNegative = 1.0
    room_wait_s: NonNegative = 5.0
    max_waiting_requests: AtLeastOne = 1000


class WorkerSettings(_Strict, frozen=True):
    """Worker processes of models with ``instances: {kind: process}``.

    Attributes:
        shared_memory_max_bytes: shared memory that large tensors to and from all workers may take
            together; beyond it they go through the sockets.
        start_timeout_s: how long a worker may take to load its model, in seconds.
    """

    shared_memory_max_bytes: ByteSize = ByteSize(1024**3)
    start_timeout_s: Positive = 300.0


class ResponseCacheSettings(_Strict, frozen=True):
    """Where answers are kept of models whose model.yaml has a ``response_cache``.

    Attributes:
        url: the store: ``memory://?max_bytes=256MiB``, ``sqlite:///file.db``,
            ``redis://host:6379/0``, ``rediss://...`` or ``unix:///path/to/socket``.
        timeout_s: the longest a request waits for the store, in seconds; then it is computed.
    """

    url: str = "memory://?max_bytes=256MiB"
    timeout_s: Positive = 0.05


class PackageSettings(_Strict, frozen=True):
    """How model packages are taken in.

    Attributes:
        cache: the folder they are unpacked to; empty: `penstock/packages` in the user's cache.
        trusted_keys: files of Ed25519 public keys: a package that none of them signed is refused;
            empty: signatures are not looked at.
        require_signed: serve nothing but packages that one of these keys signed: no folder, no
            single file, wherever it comes from.
        max_bytes: the most that the files of one package may take.
        max_files: the most files one package may hold.
        max_cache_bytes: the most that unpacked packages may take together; those that nothing is
            loaded from are removed, the ones opened longest ago first.
    """

    cache: str = ""
    trusted_keys: tuple[str, ...] = ()
    require_signed: bool = False
    max_bytes: AtLeastOne = 64 * 1024**3
    max_files: AtLeastOne = MAX_ENTRIES
    max_cache_bytes: AtLeastOne = 64 * 1024**3

    def intake(self) -> PackageIntake:
        """What the source is given."""
        cache = Path(self.cache) if self.cache else default_cache()
        keys = tuple(map(Path, self.trusted_keys))
        options = PackageOptions(keys, self.max_bytes, self.max_files, self.require_signed)
        return PackageIntake(cache, options, self.max_cache_bytes)


class ModelCacheSettings(_Strict, frozen=True):
    """Where models that come by URL are kept on this disk.

    Attributes:
        path: the folder; several servers may share one; empty: `penstock/models` in the user's
            cache.
        max_bytes: the most that it may take, as ``20GiB``; the least recently used files make
            room, those of models that are served never.
    """

    path: str = ""
    max_bytes: ByteSize = ByteSize(50 * 1024**3)


class RemoteSettings(_Strict, frozen=True):
    """How the stores are talked to that models come from by URL.

    Attributes:
        timeout_s: the longest wait for one answer: a listing, or 8 MiB of a file, in seconds.
        attempts: how often something is tried that can pass.
        initial_backoff_s: wait after the first failed attempt, in seconds; it doubles.
        max_backoff_s: the longest wait between attempts, in seconds.
        allow_unverified: take files by HTTPS without a digest.
    """

    timeout_s: Positive = 30.0
    attempts: AtLeastOne = 5
    initial_backoff_s: NonNegative = 0.5
    max_backoff_s: NonNegative = 20.0
    allow_unverified: bool = False


class JobsSettings(_Strict, frozen=True):
    """Batch jobs that clients ask for over HTTP. They yield to what is online.

    Attributes:
        folder: where jobs, their uploads and their outputs are kept; several serving processes
            share one. Empty: no jobs over HTTP.
        roots: folders and URLs, as ``/data`` or ``s3://bucket/data``, below which a job may read
            and write files by reference; empty: jobs bring their input with them.
        max_upload_bytes: the most that an uploaded input may take, as it comes.
        max_queued: jobs that may wait.
        max_running: jobs that run at once, in all serving processes together.
        max_workers: copies of its model that one job may compute with.
        max_memory_bytes: the most that a job may ask for as its ``memory``.
        keep_s: how long a job that has ended is kept with its output, in seconds.
        niceness: how far a job's processes stand back, from 0 to 19; at 19 they compute only where
            nothing else wants the processor.
        cpu_share: the part of the machine's processors that jobs may compute on, one at least.
    """

    folder: str = ""
    roots: tuple[str, ...] = ()
    max_upload_bytes: ByteSize = ByteSize(10 * 1024**3)
    max_queued: AtLeastOne = 100
    max_running: AtLeastOne = 1
    max_workers: AtLeastOne = 1
    max_memory_bytes: ByteSize = ByteSize(1024**3)
    keep_s: Positive = 7 * 24 * 3600.0
    niceness: Niceness = 19
    cpu_share: Share = 1.0


class Settings(_Strict, frozen=True):
    """Everything a server can be told, beside its models.

    Attributes:
        host: address to bind; only this machine unless told otherwise.
        server_name: the name in the protocol's server metadata.
        model_control: ``watch``: follow the repository; ``explicit``: load and unload by API;
            ``none``: load once at start.
        load_models: with ``explicit``, models to load at start; ``*``: all.
        drain_timeout_s: how long requests under way may take when the server stops, in seconds.
        processes: serving processes, which share the ports and the models; ``auto``: one for each
            processor.
        control_store: where loads and unloads by hand, routes, rollouts, and the log and trace
            settings are kept for the next start, as ``sqlite:///control.db``; as
            ``redis://host/0`` or ``postgresql://host/database`` also for other servers; empty:
            nowhere.
        shadow_comparisons: functions, as ``module:function``, that a route may have a shadow's
            answers compared with; their code runs in the server.
        outbound_hosts: whom the plan of a rollout may have the server ask for metrics, or tell by
            a webhook, as ``host`` or ``host:port``; empty: any host but link-local addresses.
        http: the HTTP door.
        grpc: the gRPC door.
        watch: how the repository is watched.
        packages: how model packages are taken in.
        model_cache: where models that come by URL are kept.
        remote: how their stores are talked to.
        lifecycle: how versions are loaded and replaced.
        memory: how much memory the loaded models may take.
        workers: worker processes.
        response_cache: where answers are kept that are given again.
        jobs: batch jobs over HTTP.
        telemetry: logs, metrics, traces.
    """

    host: str = "127.0.0.1"
    server_name: str = "penstock"
    model_control: Literal["watch", "explicit", "none"] = "watch"
    load_models: tuple[str, ...] = ()
    drain_timeout_s: NonNegative = 30.0
    processes: Processes = 1
    control_store: str = ""
    shadow_comparisons: tuple[str, ...] = ()
    outbound_hosts: tuple[str, ...] = ()
    http: HttpSettings = HttpSettings()
    grpc: GrpcSettings = GrpcSettings()
    watch: WatchSettings = WatchSettings()
    packages: PackageSettings = PackageSettings()
    model_cache: ModelCacheSettings = ModelCacheSettings()
    remote: RemoteSettings = RemoteSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    memory: MemorySettings = MemorySettings()
    workers: WorkerSettings = WorkerSettings()
    response_cache: ResponseCacheSettings = ResponseCacheSettings()
    jobs: JobsSettings = JobsSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
