"""The table of routes: every path, every method."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.core.errors import InvalidArgument, NotFound, Unsupported
from penstock.core.ids import LATEST, VersionChoice
from penstock.dialects.open_inference.log_settings import LogSettings
from penstock.dialects.open_inference.trace_settings import TraceBook
from penstock.server.routes import Routes

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "")


class FakeService:
    """Answers from what it is told, and remembers what was done."""

    def __init__(self) -> None:
        self.ready = True
        self.done: list[tuple[Any, ...]] = []

    def is_ready(self) -> bool:
        return self.ready

    def model(self, name: str, choice: VersionChoice) -> None:
        if name != "m":
            raise NotFound("no such model")

    async def warm(self, name: str, choice: VersionChoice | None = None) -> None:
        self.warmed = name

    def model_ready(self, name: str, choice: VersionChoice) -> bool:
        return self.ready and name == "m"

    def ready_models(self) -> list[Any]:
        return []

    async def load(self, name: str, overrides: Any, who: str) -> None:
        self.done.append(("load", name, overrides))

    async def unload(self, name: str, who: str) -> None:
        self.done.append(("unload", name))

    async def traffic_control(self) -> None:
        raise Unsupported("routes are not offered here")


class FakeViews:
    """Says which view was asked for."""

    version = "0"

    def __getattr__(self, name: str) -> Any:
        def view(*args: Any, **kwargs: Any) -> dict[str, Any]:
            found = [a._asdict() if isinstance(a, VersionChoice) else a for a in args]
            return {"view": name, "args": found, **kwargs}

        async def later(*args: Any) -> dict[str, Any]:
            return view(*args)

        return later if name == "statistics" else view


class FakeLive:
    """Keeps settings."""

    def __init__(self) -> None:
        self.changes: list[Any] = []

    def logs(self) -> LogSettings:
        return LogSettings()

    async def change_logs(self, changes: Any, who: str) -> None:
        self.changes.append(changes)

    def traces(self, model: str) -> Any:
        return TraceBook().settings(model)

    async def change_traces(self, changes: Any, model: str, who: str) -> None:
        self.changes.append((changes, model))


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def live() -> FakeLive:
    return FakeLive()


@pytest.fixture
def routes(service: FakeService, live: FakeLive) -> Routes:
    views: Any = FakeViews()
    fake_service: Any = service
    fake_live: Any = live

    async def metrics() -> tuple[bytes, str]:
        return b"page", "text/plain"

    return Routes(fake_service, views, fake_live, metrics)


def split(path: str) -> list[str]:
    return path.removeprefix("/").split("/")


TABLE = {
    "/": "GET",
    "/livez": "GET",
    "/readyz": "GET",
    "/metrics": "GET",
    "/openapi.json": "GET",
    "/docs": "GET",
    "/docs/swagger-ui.css": "GET",
    "/v2": "GET",
    "/v2/": "GET",
    "/v2/health/live": "GET",
    "/v2/health/ready": "GET",
    "/v2/models": "GET",
    "/v2/models/stats": "GET",
    "/v2/logging": "GET, POST",
    "/v2/trace/setting": "GET, POST",
    "/v2/repository/index": "POST",
    "/v2/repository/models/m/load": "POST",
    "/v2/repository/models/m/unload": "POST",
    **{
        f"/v2/models/m{version}{path}": methods
        for version in ("", "/versions/1", "/versions/stable")
        for path, methods in {
            "": "GET",
            "/ready": "GET",
            "/config": "GET",
            "/stats": "GET",
            "/infer": "POST",
        }.items()
    },
    "/v2/models/m/trace/setting": "GET, POST",
}


@pytest.mark.parametrize(("path", "allowed"), TABLE.items(), ids=TABLE.keys())
async def test_every_path_takes_its_methods_and_no_other(
    routes: Routes, path: str, allowed: str
) -> None:
    for method in METHODS:
        if method in allowed.split(", "):
            if path.endswith("/infer"):
                continue  # inference goes the short way
            assert (await routes.answer(method, split(path), b"")).status in (200, 307)
        else:
            answer = await routes.answer(method, split(path), b"")
            assert (answer.status, dict(answer.headers)[b"allow"]) == (405, allowed.encode())
            assert json.loads(answer.body) == {"error": "Method Not Allowed"}


CONTROL = {
    "/v2/routes": "GET",
    "/v2/routes/m": "DELETE, GET, PUT",
    "/v2/rollouts": "GET, POST",
    "/v2/rollouts/m": "GET",
    "/v2/rollouts/m/history": "GET",
    "/v2/rollouts/m/disagreements": "GET",
    "/v2/rollouts/m/pause": "POST",
    "/v2/rollouts/m/resume": "POST",
    "/v2/rollouts/m/promote": "POST",
    "/v2/rollouts/m/abort": "POST",
    "/v2/experiments": "POST",
    "/v2/experiments/m": "GET",
    "/v2/experiments/m/stop": "POST",
    "/v2/outcomes": "POST",
}


@pytest.mark.parametrize(("path", "allowed"), CONTROL.items(), ids=CONTROL.keys())
async def test_the_control_api_takes_its_methods_and_no_other(
    routes: Routes, path: str, allowed: str
) -> None:
    for method in METHODS:
        if method in allowed.split(", "):
            with pytest.raises(Unsupported, match="not offered here"):
                await routes.answer(method, split(path), b"")
        else:
            answer = await routes.answer(method, split(path), b"")
            assert (answer.status, dict(answer.headers)[b"allow"]) == (405, allowed.encode())


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v2/routes/m/x",
        "/v2/rollouts/m/nothing",
        "/v2/rollouts/m/pause/x",
        "/v2/experiments/m/start",
        "/v2/outcomes/m",
        "/v2/nothing",
        "/v2/health",
        "/v2/health/live/x",
        "/v2/models/m/nothing",
        "/v2/models/m/versions",
        "/v2/models/m/versions/1/nothing",
        "/v2/models/m/infer/x",
        "/v2/repository",
        "/v2/repository/models/m",
        "/docs/a/b",
        "/livez/",
        "//",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_there_is_nothing_else(routes: Routes, path: str, method: str) -> None:
    with pytest.raises(NotFound, match="Not Found"):
        await routes.answer(method, split(path), b"")


@pytest.mark.parametrize("tail", ["", "/cancel", "/result"])
async def test_an_id_with_a_slash_is_no_jobs(routes: Routes, tail: str) -> None:
    with pytest.raises(NotFound, match=r"^there is no job 'a/b'$"):
        await routes.answer("GET", split(f"/v2/jobs/a/b{tail}"), b"")


async def test_the_docs_have_their_own_files_only(routes: Routes) -> None:
    with pytest.raises(NotFound, match="Not Found"):
        await routes.answer("GET", split("/docs/secret.txt"), b"")


@pytest.mark.parametrize(
    ("path", "view"),
    [
        ("/v2", {"view": "server", "args": []}),
        ("/v2/models", {"view": "models", "args": []}),
        ("/v2/models/stats", {"view": "statistics", "args": []}),
        ("/v2/models/m", {"view": "model", "args": ["m", LATEST._asdict()]}),
        ("/v2/models/m/config", {"view": "config", "args": ["m", LATEST._asdict()]}),
        (
            "/v2/models/m/versions/3/stats",
            {"view": "statistics", "args": ["m", VersionChoice(version=3)._asdict()]},
        ),
        (
            "/v2/models/m/versions/stable",
            {"view": "model", "args": ["m", VersionChoice(label="stable")._asdict()]},
        ),
    ],
)
async def test_paths_lead_to_their_views(routes: Routes, path: str, view: Any) -> None:
    answer = await routes.answer("GET", split(path), b"")
    assert json.loads(answer.body) == view


@pytest.mark.parametrize("ready", [True, False])
async def test_readiness_is_a_status_and_a_body(
    routes: Routes, service: FakeService, ready: bool
) -> None:
    service.ready = ready
    for path in ("/readyz", "/v2/health/ready", "/v2/models/m/ready"):
        answer = await routes.answer("GET", split(path), b"")
        assert answer.status == (200 if ready else 503)
        assert json.loads(answer.body)["ready"] is ready
    for path in ("/livez", "/v2/health/live"):
        answer = await routes.answer("GET", split(path), b"")
        assert (answer.status, json.loads(answer.body)["live"]) == (200, True)


async def test_load_and_unload(routes: Routes, service: FakeService) -> None:
    config = json.dumps({"parameters": {"config": '{"max_batch_size": 4}'}}).encode()
    await routes.answer("POST", split("/v2/repository/models/m/load"), b"")
    await routes.answer("POST", split("/v2/repository/models/m/load"), config)
    await routes.answer("POST", split("/v2/repository/models/m/unload"), b"")
    assert service.done == [
        ("load", "m", None),
        ("load", "m", {"max_batch_size": 4}),
        ("unload", "m"),
    ]


@pytest.mark.parametrize("path", ["other/index", "other/models/m/load", "other/models/m/unload"])
async def test_a_named_repository(routes: Routes, service: FakeService, path: str) -> None:
    with pytest.raises(Unsupported, match="repository_name"):
        await routes.answer("POST", split(f"/v2/repository/{path}"), b"")
    assert service.done == []


@pytest.mark.parametrize("name", ["..", ".", "a\\b", ""])
async def test_names_that_would_leave_the_repository(
    routes: Routes, service: FakeService, name: str
) -> None:
    with pytest.raises(InvalidArgument):
        await routes.answer("POST", ["v2", "repository", "models", name, "load"], b"")
    assert service.done == []


async def test_settings_are_read_and_changed(routes: Routes, live: FakeLive) -> None:
    await routes.answer("GET", split("/v2/logging"), b"")
    await routes.answer("GET", split("/v2/trace/setting"), b"")
    assert live.changes == []
    await routes.answer("POST", split("/v2/logging"), b'{"log_info": false}')
    await routes.answer("POST", split("/v2/models/m/trace/setting"), b'{"trace_rate": "1"}')
    assert live.changes == [{"log_info": False}, ({"trace_rate": "1"}, "m")]
    with pytest.raises(NotFound):
        await routes.answer("GET", split("/v2/models/nobody/trace/setting"), b"")
