"""What ``penstock doctor`` looks at: Python, packages, ports, memory, processors."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from penstock.app.cli.server_client import ServerClient
from penstock.app.memory import available_memory
from penstock.app.processes.control_setting import open_control
from penstock.app.processes.process_count import CPU_LIMIT, cpu_quota, usable_processors
from penstock.app.settings import Settings
from penstock.core.errors import ConfigError, PenstockError
from penstock.runtime.runtime import RUNTIMES
from penstock.server.grpc_http2.library import HOW_TO_GET_IT, find_library
from penstock.server.sockets import free_port

Status: TypeAlias = Literal["ok", "missing", "warning", "broken"]

_MIN_PYTHON = (3, 11)
_LOW_MEMORY_BYTES = 256 * 1024 * 1024
_PROBE_TIMEOUT_S = 1.0
_CPU_LIMIT = CPU_LIMIT


class Check(NamedTuple):
    """One finding.

    Attributes:
        name: what was looked at.
        status: ``ok``; ``missing``: optional and not there; ``warning``: works, but look at it;
            ``broken``: serving needs it.
        detail: what was found.
        fix: the command or the change that mends it.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


class _Extra(NamedTuple):
    """Optional packages: what they are for, a module of each, how to install them."""

    name: str
    modules: tuple[str, ...]
    packages: tuple[str, ...]
    install: str


_EXTRAS = (
    _Extra(
        "tracing (otel)",
        ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
        ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"),
        "pip install 'penstock[otel]'",
    ),
    _Extra("images (image)", ("PIL",), ("pillow",), "pip install 'penstock[image]'"),
    _Extra("models from S3 (s3)", ("s3fs",), ("s3fs",), "pip install 'penstock[s3]'"),
    _Extra("models from Google Cloud (gcs)", ("gcsfs",), ("gcsfs",), "pip install 'penstock[gcs]'"),
    _Extra("models from Azure (azure)", ("adlfs",), ("adlfs",), "pip install 'penstock[azure]'"),
    _Extra(
        "models from a hub (hub)",
        ("huggingface_hub",),
        ("huggingface_hub",),
        "pip install 'penstock[hub]'",
    ),
    _Extra("predict from Parquet", ("pyarrow",), ("pyarrow",), "pip install pyarrow"),
    _Extra(
        "batch jobs (batch)",
        ("pyarrow", "fsspec", "matplotlib", "cronsim"),
        ("pyarrow", "fsspec", "matplotlib", "cronsim"),
        "pip install 'penstock[batch]'",
    ),
    _Extra(
        "jobs on databases (sql)",
        ("adbc_driver_postgresql", "duckdb", "pymysql"),
        ("adbc-driver-postgresql", "duckdb", "pymysql"),
        "pip install 'penstock[sql]'",
    ),
    _Extra("jobs on HTTP APIs (http)", ("httpx",), ("httpx",), "pip install 'penstock[http]'"),
    _Extra("jobs on XML (xml)", ("defusedxml",), ("defusedxml",), "pip install 'penstock[xml]'"),
    _Extra(
        "streams of Kafka (kafka)",
        ("confluent_kafka",),
        ("confluent-kafka",),
        "pip install 'penstock[kafka]'",
    ),
    _Extra("streams of NATS (nats)", ("nats",), ("nats-py",), "pip install 'penstock[nats]'"),
    _Extra(
        "streams of RabbitMQ (rabbitmq)",
        ("aio_pika",),
        ("aio-pika",),
        "pip install 'penstock[rabbitmq]'",
    ),
    _Extra("jobs on Ray (ray)", ("ray",), ("ray",), "pip install 'penstock[ray]'"),
    _Extra(
        "models in Beam (beam)", ("apache_beam",), ("apache-beam",), "pip install 'penstock[beam]'"
    ),
    _Extra("models in Spark (spark)", ("pyspark",), ("pyspark",), "pip install 'penstock[spark]'"),
)


def run_checks(settings: Settings, problem: str = "") -> list[Check]:
    """Look at everything.

    Args:
        settings: the effective ones.
        problem: why the settings cannot be read; "": they can.

    Concurrency: blocks, for a second or two at most.
    """
    state = Check("settings", "broken", problem) if problem else Check("settings", "ok", "valid")
    control_store = "" if problem else settings.control_store
    return [
        state,
        _python(),
        _base_packages(),
        *_runtimes(),
        *_extras(tracing=settings.telemetry.tracing),
        *([] if problem else [*_grpc_engine(settings), *_ports(settings)]),
        *(_control_store(control_store) if control_store else ()),
        _memory(),
        _processors(),
    ]


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] >= _MIN_PYTHON:
        return Check("Python", "ok", f"{found}, {sys.executable}")
    return Check("Python", "broken", found, "install Python 3.11 or newer")


def _base_packages() -> Check:
    """The packages that penstock itself requires."""
    try:
        required = importlib.metadata.requires("penstock") or []
        version = importlib.metadata.version("penstock")
    except importlib.metadata.PackageNotFoundError:
        return Check("penstock", "warning", "runs from source, is not installed", "pip install .")
    names = [_package_name(text) for text in required if "extra ==" not in text]
    missing = [name for name in names if _version(name) is None]
    if missing:
        fix = f"pip install {' '.join(missing)}"
        return Check("penstock", "broken", f"{version}, without {', '.join(missing)}", fix)
    return Check("penstock", "ok", f"{version}, with all {len(names)} packages it requires")


def _runtimes() -> Iterator[Check]:
    for name, entry in RUNTIMES.items():
        label = f"runtime {name}"
        if entry.requires is None:
            yield Check(label, "ok", "needs no further package")
        elif missing := [n for n in (entry.requires, *entry.further) if not _is_installed(n)]:
            yield Check(label, "missing", f"{missing[0]} is not installed", entry.install)
        else:
            version = _version(entry.requires) or _version(f"{entry.requires}-gpu") or "installed"
            yield Check(label, "ok", f"{entry.requires} {version}")


def _extras(*, tracing: bool) -> Iterator[Check]:
    for extra in _EXTRAS:
        pairs = list(zip(extra.modules, extra.packages, strict=True))
        missing = [package for module, package in pairs if not _is_installed(module)]
        if not missing:
            found = ", ".join(
                f"{package} {_version(package) or ''}".strip() for _, package in pairs
            )
            yield Check(extra.name, "ok", found)
            continue
        needed = tracing and "otel" in extra.name
        detail = f"{', '.join(missing)} not installed"
        if needed:
            detail += ", but telemetry.tracing is on"
        yield Check(extra.name, "broken" if needed else "missing", detail, extra.install)


def _grpc_engine(settings: Settings) -> Iterator[Check]:
    if not settings.grpc.enabled:
        return
    if settings.grpc.engine == "grpcio":
        yield Check("gRPC engine", "ok", "grpcio")
        return
    found = find_library()
    if found is not None:
        yield Check("gRPC engine", "ok", f"libnghttp2 {found.version}")
    elif settings.grpc.engine == "nghttp2":
        yield Check("gRPC engine", "broken", "libnghttp2 not installed", HOW_TO_GET_IT)
    else:
        detail = "libnghttp2 not installed: grpcio, which is several times slower, is used"
        yield Check("gRPC engine", "missing", detail, HOW_TO_GET_IT)


def _ports(settings: Settings) -> Iterator[Check]:
    doors = [("HTTP", settings.http.port, "http.port")]
    if settings.grpc.enabled:
        doors.append(("gRPC", settings.grpc.port, "grpc.port"))
    if len({port for _, port, _ in doors if port}) < len([p for _, p, _ in doors if p]):
        yield Check("ports", "broken", f"HTTP and gRPC both use {settings.http.port}")
        return
    ours = ""
    for what, port, name in doors:
        label = f"{what} port"
        if not port:
            yield Check(label, "ok", "any that is free")
            continue
        try:
            free_port(settings.host, port, what)
        except ConfigError as err:
            if what == "HTTP":
                ours = _server_at(settings.host, port)
            if ours:
                by = f"by {ours}" if what == "HTTP" else f"it seems by {ours}"
                yield Check(label, "warning", f"{settings.host}:{port} is in use, {by}")
            else:
                reason = err.message.partition(". Choose")[0]
                yield Check(label, "broken", reason, f"set {name}, or {_flag(what)}")
        else:
            yield Check(label, "ok", f"{settings.host}:{port} is free")


def _flag(what: str) -> str:
    return f"penstock serve --{what.lower()}-port"


def _server_at(host: str, port: int) -> str:
    """The name and version of the V2 server on a port; "": there is none."""
    bracketed = f"[{host}]" if ":" in host else host
    near = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(bracketed, bracketed)  # noqa: S104
    try:
        told = ServerClient(f"http://{near}:{port}", _PROBE_TIMEOUT_S).get("/v2")
        return f"{told['name']} {told['version']}"
    except (PenstockError, KeyError, TypeError):
        return ""


def _control_store(url: str) -> Iterator[Check]:
    try:
        open_control(url, is_new=True)  # it connects to nothing
    except ConfigError as err:
        yield Check("control store", "broken", err.message)


def _memory() -> Check:
    free = available_memory().ram_bytes
    detail = f"{free / 2**30:.1f} GiB available"
    if free < _LOW_MEMORY_BYTES:
        return Check("memory", "warning", detail, "leave more memory, or serve smaller models")
    return Check("memory", "ok", detail)


def _processors() -> Check:
    total = os.cpu_count() or 1
    usable = usable_processors()
    detail = f"{usable}" if usable == total else f"{usable} of {total}"
    quota = cpu_quota(_CPU_LIMIT)
    if quota is not None:
        detail += f", limited to {quota:g} by the control group"
    return Check("processors", "ok", detail)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package_name(requirement: str) -> str:
    match: Sequence[str] = re.split(r"[^\w.-]", requirement, maxsplit=1)
    return match[0]
