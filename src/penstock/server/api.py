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
from penstock.telemetry.metrics import MetricsPage, render_families


class Api(NamedTuple):
    """What both doors share.

    Attributes:
        views: what is told of the server and its models.
        live: the settings clients may change.
        routes: the HTTP routes.
        page: the metrics of this process.
    """

    views: Views
    live: LiveSettings
    routes: Routes
    page: MetricsPage


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

    async def metrics() -> tuple[bytes, str]:
        if service.siblings is None:
            return page.render()
        from penstock.telemetry.families import merge_families
        from penstock.telemetry.metric_specs import MERGE_RULES

        pages = [page.families(), *await service.siblings.metrics()]
        return render_families(merge_families(pages, MERGE_RULES))

    return Api(views, live, Routes(service, views, live, metrics), page)
