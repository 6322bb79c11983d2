"""Every HTTP route but inference, as one table to read from top to bottom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from penstock.core.errors import NotFound
from penstock.core.ids import LATEST, VersionChoice
from penstock.dialects.open_inference import log_settings, repository, trace_settings
from penstock.dialects.open_inference.errors import error_body
from penstock.dialects.open_inference.metadata import (
    live_body,
    model_ready_body,
    ready_body,
)
from penstock.server.exchange import Answer, json_answer
from penstock.server.openapi import openapi_document
from penstock.server.service import ModelService
from penstock.server.settings_api import LiveSettings
from penstock.server.swagger import swagger_file
from penstock.server.views import Views

_GET, _POST = frozenset({"GET"}), frozenset({"POST"})
_BOTH = _GET | _POST
_NONE: frozenset[str] = frozenset()
_NEEDS_MODEL: tuple[list[str], ...] = ([], ["config"])
"""What is asked of a model that only a loaded one can tell."""
_SERVER = {
    "": _GET,
    "health/live": _GET,
    "health/ready": _GET,
    "models": _GET,
    "models/stats": _GET,
    "logging": _BOTH,
    "trace/setting": _BOTH,
}
_MODEL = {
    "": _GET,
    "ready": _GET,
    "config": _GET,
    "stats": _GET,
    "infer": _POST,
    "trace/setting": _BOTH,
}
_CONTROL = {
    "routes": _GET,
    "routes/*": frozenset({"GET", "PUT", "DELETE"}),
    "rollouts": _BOTH,
    "rollouts/*": _GET,
    "rollouts/*/history": _GET,
    "rollouts/*/disagreements": _GET,
    "rollouts/*/pause": _POST,
    "rollouts/*/resume": _POST,
    "rollouts/*/promote": _POST,
    "rollouts/*/abort": _POST,
    "experiments": _POST,
    "experiments/*": _GET,
    "experiments/*/stop": _POST,
    "outcomes": _POST,
    "jobs": _BOTH,
    "jobs/*": frozenset({"GET", "DELETE"}),
    "jobs/*/cancel": _POST,
    "jobs/*/result": _GET,
}
"""Below ``/v2``: who answers which request, how well it did, and batch jobs; ``*`` is a model's
name, or a job's id."""


class Routes:
    """Answers what is not inference.

    Args:
        service: what is served.
        views: what is told of it.
        live: the settings clients may change.
        metrics: renders ``/metrics``: the page and its content type.
    """

    def __init__(
        self,
        service: ModelService,
        views: Views,
        live: LiveSettings,
        metrics: Callable[[], Awaitable[tuple[bytes, str]]],
    ) -> None:
        self._service = service
        self._views = views
        self._live = live
        self._metrics = metrics

    async def answer(
        self,
        method: str,
        path: list[str],
        body: bytes,
        headers: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> Answer:
        """Answer one request.

        Args:
            method: the HTTP method.
            path: the path's segments, the first slash gone.
            body: the request's body.
            headers: the request's, names in lower case.

        Raises:
            PenstockError: the caller turns it into an error answer.
        """
        allowed = allowed_methods(path)
        if not allowed:
            raise _nothing_at(path)
        if method not in allowed:
            allow = (b"allow", ", ".join(sorted(allowed)).encode())
            return Answer(405, error_body("Method Not Allowed"), headers=(allow,))
        match path:
            case ["v2", "repository", *rest]:
                return await self._repository(rest, body)
            case ["v2", "routes" | "rollouts" | "experiments" | "outcomes" | "jobs", *_]:
                return await self._steer(method, path[1:], body, headers)
            case ["v2", "logging"]:
                return await self._logging(method, body)
            case ["v2", "trace", "setting"]:
                return await self._trace(method, body, "")
            case ["v2", "models", name, "trace", "setting"]:
                self._service.model(name, LATEST)
                return await self._trace(method, body, name)
            case ["v2", "models", name, "versions", version, *what] if what in _NEEDS_MODEL:
                await self._service.warm(name, VersionChoice.parse(version))
            case ["v2", "models", name, *what] if what in _NEEDS_MODEL and path[2:] != ["stats"]:
                await self._service.warm(name)
            case _:
                pass
        return await self._told(path)

    async def _steer(
        self, method: str, path: list[str], body: bytes, headers: Mapping[bytes, bytes]
    ) -> Answer:
        """What operators do, and batch jobs; imported by those who do."""
        if path[0] == "jobs":
            desk = self._service.job_desk()
            from penstock.server.jobs_api.job_routes import answer_jobs

            return await answer_jobs(desk, method, path[1:], body, headers)
        control = await self._service.traffic_control()
        from penstock.server.control_api.control_routes import answer_control

        return await answer_control(control, method, path, body, headers)

    async def _told(self, path: list[str]) -> Answer:
        """What is only told; the numbers of all processes have to be waited for."""
        match path:
            case ["metrics"]:
                page, content_type = await self._metrics()
                return Answer(200, page, content_type.encode())
            case ["v2", "models", *of, "stats"]:
                return json_answer(await self._statistics(of))
            case ["v2", *rest]:
                return self._v2(rest)
            case _:
                return self._own(path)

    def _own(self, path: list[str]) -> Answer:
        """Routes that belong to no protocol."""
        service = self._service
        match path:
            case ["livez"]:
                return json_answer(live_body())
            case ["readyz"]:
                ready = service.is_ready()
                return json_answer(ready_body(ready), 200 if ready else 503)
            case ["openapi.json"]:
                return json_answer(openapi_document(service.ready_models(), self._views.version))
            case ["docs"]:
                return swagger_file("index.html")
            case ["docs", name]:
                return swagger_file(name)
            case _:
                return Answer(307, headers=((b"location", b"/docs"),))

    def _v2(self, path: list[str]) -> Answer:
        service = self._service
        match path:
            case [] | [""]:
                return json_answer(self._views.server())
            case ["health", "live"]:
                return json_answer(live_body())
            case ["health", "ready"]:
                ready = service.is_ready()
                return json_answer(ready_body(ready), 200 if ready else 503)
            case ["models"]:
                return json_answer(self._views.models())
            case ["models", name, "versions", version, *rest]:
                return self._model(name, VersionChoice.parse(version), rest)
            case ["models", name, *rest]:
                return self._model(name, LATEST, rest)
            case _:
                raise NotFound("Not Found")

    def _model(self, name: str, choice: VersionChoice, path: list[str]) -> Answer:
        service = self._service
        match path:
            case ["ready"]:
                ready = service.model_ready(name, choice)
                return json_answer(model_ready_body(name, ready), 200 if ready else 503)
            case ["config"]:
                return json_answer(self._views.config(name, choice))
            case _:
                return json_answer(self._views.model(name, choice))

    async def _statistics(self, of: list[str]) -> dict[str, Any]:
        match of:
            case [name, "versions", version]:
                return await self._views.statistics(name, VersionChoice.parse(version))
            case [name]:
                return await self._views.statistics(name, LATEST)
            case _:
                return await self._views.statistics()

    async def _repository(self, path: list[str], body: bytes) -> Answer:
        service = self._service
        match path:
            case ["index"]:
                ready_only = repository.read_index_body(body)
                return json_answer(self._views.index(ready_only=ready_only))
            case ["models", name, "load"]:
                repository.check_names(name)
                await service.load(name, repository.read_load_body(body), who="REST")
                return Answer(200)
            case ["models", name, "unload"]:
                repository.check_names(name)
                repository.read_unload_body(body)
                await service.unload(name, who="REST")
                return Answer(200)
            case [named, *_]:
                repository.check_names("any", named)
        raise NotFound("Not Found")

    async def _logging(self, method: str, body: bytes) -> Answer:
        if method == "POST":
            changes = log_settings.read_settings_body(body)
            await self._live.change_logs(changes, who="REST")
        return json_answer(log_settings.log_settings_body(self._live.logs()))

    async def _trace(self, method: str, body: bytes, model: str) -> Answer:
        if method == "POST":
            changes = log_settings.read_settings_body(body)
            await self._live.change_traces(changes, model, who="REST")
        return json_answer(trace_settings.trace_settings_body(self._live.traces(model)))


def _nothing_at(path: list[str]) -> NotFound:
    """The error for a path that is none; below jobs it is an id, of which a ``/`` was a part."""
    match path:
        case ["v2", "jobs", *parts, "cancel" | "result"] | ["v2", "jobs", *parts] if any(parts):
            from penstock.server.jobs_api.desk import no_job

            return no_job("/".join(parts))
        case _:
            return NotFound("Not Found")


def allowed_methods(path: list[str]) -> frozenset[str]:
    """The methods a path takes; none where there is no such path."""
    match path:
        case [""] | ["livez" | "readyz" | "metrics" | "docs" | "openapi.json"] | ["docs", _]:
            return _GET
        case ["v2", "models", _, "versions", _, *rest]:
            return _MODEL.get("/".join(rest), _NONE)
        case ["v2", "models", _, *rest] if path[2:] != ["stats"]:
            return _MODEL.get("/".join(rest), _NONE)
        case ["v2", "repository", *rest] if rest[-1:] == ["index"] and len(rest) <= 2:
            return _POST
        case ["v2", "repository", *rest] if rest[-3:-2] == ["models"] and len(rest) <= 4:
            return _POST if rest[-1] in ("load", "unload") else _NONE
        case ["v2", "routes" | "rollouts" | "experiments" | "jobs" as kind, _, *rest]:
            return _CONTROL.get("/".join([kind, "*", *rest]), _NONE)
        case ["v2", *rest]:
            found = "/".join(rest)
            return _SERVER.get(found) or _CONTROL.get(found, _NONE)
        case _:
            return _NONE
