"""GrpcApi: every method of the gRPC door, by its path."""

from __future__ import annotations

from penstock.dialects.open_inference.proto.pool import POOL
from penstock.server.grpc_api import health, reflection, servicer
from penstock.server.grpc_api.call import Streaming, Unary
from penstock.server.grpc_api.health import Health
from penstock.server.grpc_api.reflection import Reflection
from penstock.server.grpc_api.servicer import Servicer
from penstock.server.service import ModelService
from penstock.server.settings_api import LiveSettings
from penstock.server.views import Views

_SERVICES = (servicer.NAME, health.NAME, reflection.NAME)


class GrpcApi:
    """The inference service, and the standard health and reflection services.

    Args:
        service: what is served.
        views: what is told of it.
        live: the settings that can be changed.

    Attributes:
        unary: path (``/<service>/<method>``) to method, of those with one message each way.
        streaming: path to method, of the others.
        health: says whether the server serves; to be started and stopped by the engine.
        headers: the metadata that methods look at, beside what gRPC itself takes.
    """

    def __init__(self, service: ModelService, views: Views, live: LiveSettings) -> None:
        self.health = Health(("", servicer.NAME))
        self.headers = service.routes.headers
        methods = Servicer(service, views, live).methods()
        self.unary: dict[str, Unary] = {
            **{f"/{servicer.NAME}/{name}": method for name, method in methods.items()},
            f"/{health.NAME}/Check": self.health.check,
        }
        self.streaming: dict[str, Streaming] = {
            f"/{health.NAME}/Watch": self.health.watch,
            f"/{reflection.NAME}/ServerReflectionInfo": Reflection(_SERVICES, POOL).info,
        }
