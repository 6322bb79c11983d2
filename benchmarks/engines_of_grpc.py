"""The engines that could carry gRPC, each as the servers that answer a constant."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.places import PYTHON, SERVERS, venv_python

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ENVIRONMENT = "grpc_engines"
_HTTP_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
    "HttpConnectionManager"
)
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True)
class Place:
    """Where an engine is run: a folder of its own, its port, the answer without and with prefix."""

    folder: Path
    port: int
    message: Path
    framed: Path


@dataclass(frozen=True)
class GrpcEngine:
    """An engine: its name, what it is, and the command lines of its processes at a place."""

    label: str
    note: str
    commands: Callable[[Place], list[list[str]]]
    variables: Callable[[Place], dict[str, str]] = field(default=lambda place: {})


def _server(name: str, place: Place) -> list[list[str]]:
    return [[str(PYTHON), str(SERVERS / name), str(place.port), str(place.message)]]


def _pyvoy(place: Place) -> list[list[str]]:
    program = venv_python(_ENVIRONMENT).with_name("pyvoy")
    where = ["--address", "127.0.0.1", "--port", str(place.port)]
    return [[str(program), "echo_grpc_asgi:app", *where, "--worker-threads", "1", "--no-lifespan"]]


def _asgi_variables(place: Place) -> dict[str, str]:
    return {"ECHO_ANSWER": str(place.framed), "PYTHONPATH": str(SERVERS)}


def _zttp(place: Place) -> list[list[str]]:
    python = str(venv_python(_ENVIRONMENT))
    return [[python, str(SERVERS / "echo_grpc_asgi.py"), str(place.port)]]


def _envoy(place: Place) -> list[list[str]]:
    socket = str(place.folder / "echo.sock")
    config = place.folder / "envoy.json"
    config.write_text(json.dumps(_envoy_config(place.port, socket)))
    envoy = str(venv_python(_ENVIRONMENT).with_name("envoy"))
    return [
        [str(PYTHON), str(SERVERS / "echo_grpc_http1.py"), socket, str(place.framed)],
        [envoy, "-c", str(config), "--concurrency", "1", "--log-level", "error"],
    ]


def _envoy_config(port: int, socket: str) -> dict:
    """Return the configuration: one listener, one route, one cluster that speaks HTTP/1.1."""
    router = {"@type": _ROUTER, "suppress_envoy_headers": True, "dynamic_stats": False}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "echo", "timeout": "0s"}}
    manager = {
        "@type": _HTTP_MANAGER,
        "stat_prefix": "echo",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "echo", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {
        "name": "echo",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": filters}],
    }
    protocol = {
        "@type": f"type.googleapis.com/{_PROTOCOL}",
        "explicit_http_config": {"http_protocol_options": {"enable_trailers": True}},
    }
    many = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    cluster = {
        "name": "echo",
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {"cluster_name": "echo", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {_PROTOCOL: protocol},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


ENGINES = (
    GrpcEngine(
        "grpc.aio",
        "grpcio's asyncio server on uvloop, identity serializers",
        lambda place: _server("echo_grpc.py", place),
    ),
    GrpcEngine("pyvoy", "Envoy with Python embedded, ASGI", _pyvoy, _asgi_variables),
    GrpcEngine(
        "Envoy, HTTP/1.1",
        "Envoy in front of an HTTP/1.1 server with trailers (httptools, uvloop, Unix socket)",
        _envoy,
    ),
    GrpcEngine("uvicorn, zttp", "uvicorn's HTTP/2, ASGI", _zttp, _asgi_variables),
    GrpcEngine(
        "nghttp2",
        "libnghttp2 by cffi under asyncio and uvloop: Penstock's own gRPC server",
        lambda place: _server("echo_grpc_http2.py", place),
    ),
)
