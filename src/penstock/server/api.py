"""Everything but inference, put together when it is first asked for.

A server that starts should not wait for what its first prediction does not need.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.core.status import VersionStatus
from penstock.server.routes import Routes
from penstock.server.service import ModelService
from penstock.server.settings_api import LiveSettings
from penstock.server.views import Views
from penstock.telemetry.logs import LevelSwitch
from penstock.telemetry.metrics import MetricsPage


class Api(NamedTuple):
    """What both doors share.

    Attributes:
        views: what is told of the server and its models.
        live: the settings clients may change.
        routes: the HTTP routes.
    """

    views: Views
    live: LiveSettings
    routes: Routes


def make_api(service: ModelService, switch: LevelSwitch, server_name: str, version: str) -> Api:
    """Put it together.

    Args:
        service: what is served.
        switch: of the logs.
        server_name: the name in the server metadata.
        version: the server's version.
    """

    def statuses() -> list[VersionStatus]:
        return service.manager.statuses()

    views = Views(service, server_name, version)
    live = LiveSettings(service, switch)
    page = MetricsPage(lambda: service.stats, statuses, service.edge)
    return Api(views, live, Routes(service, views, live, page.render))
