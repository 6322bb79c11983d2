"""penstock.RolloutClient, against a server of canned answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import penstock
from penstock.core.errors import (
    ConfigError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    NotReady,
)
from penstock.rollout.spec import RolloutSpec
from penstock.rollout.state import Phase
from penstock.router.route import Route, Variant
from penstock.server.control_api.answers import HistoryEntry, RolloutAnswer, RouteAnswer
from tests.unit.app.shell import StubServer

SPEC = RolloutSpec(model="a b/c", candidate=2, steps=())
AT = "/v2/rollouts/a%20b%2Fc"


def answer(phase: Phase = Phase.CANARY) -> Any:
    told = RolloutAnswer(
        "a b/c", "r1", phase, str(phase), spec=SPEC, is_over=phase.is_end, candidate=2
    )
    return {**msgspec.to_builtins(told), "of_a_later_version": 1}


@pytest.fixture
def client(stub: StubServer) -> penstock.RolloutClient:
    return penstock.RolloutClient(stub.url, actor="Zoë\n<z>")


def test_a_rollout_is_started_from_a_spec_fields_or_a_file(
    client: penstock.RolloutClient, stub: StubServer, tmp_path: Path
) -> None:
    stub.answers["POST /v2/rollouts"] = (200, answer())
    path = tmp_path / "rollout.yaml"
    path.write_text("model: a b/c\ncandidate: 2\n")
    for spec in (SPEC, {"model": "a b/c", "candidate": 2}, path, str(path)):
        assert client.start(spec).phase is Phase.CANARY
    sent = [json.loads(body) for _, _, _, body in stub.asked]
    assert all((one["model"], one["candidate"]) == ("a b/c", 2) for one in sent)
    assert {headers["x-penstock-actor"] for _, _, headers, _ in stub.asked} == {
        "Zoë <z>".encode().decode("latin-1")
    }


def test_a_file_that_is_wrong_is_not_sent(
    client: penstock.RolloutClient, stub: StubServer, tmp_path: Path
) -> None:
    path = tmp_path / "rollout.yaml"
    path.write_text("model: digits\ncandidat: 2\n")
    with pytest.raises(ConfigError, match="did you mean 'candidate'"):
        client.start(path)
    assert stub.asked == []


def test_what_is_done_to_a_rollout(client: penstock.RolloutClient, stub: StubServer) -> None:
    for action in ("pause", "resume", "promote", "abort"):
        stub.answers[f"POST {AT}/{action}"] = (200, answer())
        getattr(client, action)("a b/c", "because")
    client.promote("a b/c", full=True)
    assert [json.loads(body) for _, _, _, body in stub.asked] == [
        {"why": "because"},
        {"why": "because"},
        {"why": "because", "full": False},
        {"why": "because"},
        {"why": "", "full": True},
    ]


def test_what_is_told_of_rollouts(client: penstock.RolloutClient, stub: StubServer) -> None:
    entry = HistoryEntry(5, "done", "controller", "all gates pass")
    stub.answers["GET /v2/rollouts"] = (200, {"rollouts": [answer()]})
    stub.answers[f"GET {AT}/history"] = (
        200,
        {"model": "a b/c", "history": [msgspec.to_builtins(entry)]},
    )
    found = {"model": "a b/c", "version": 2, "comparison": "class", "examples": []}
    stub.answers[f"GET {AT}/disagreements"] = (200, found)
    assert [one.id for one in client.rollouts()] == ["r1"]
    assert client.history("a b/c") == [entry]
    assert client.disagreements("a b/c").version == 2


def test_routes(client: penstock.RolloutClient, stub: StubServer) -> None:
    route = Route(variants=(Variant(name="stable", version=1, weight=100),))
    told = msgspec.to_builtins(RouteAnswer("m", route))
    stub.answers["GET /v2/routes"] = (200, {"routes": [told]})
    for method in ("GET", "PUT", "DELETE"):
        stub.answers[f"{method} /v2/routes/m"] = (200, told)
    assert [one.model for one in client.routes()] == ["m"]
    assert client.route("m").route == route
    client.set_route("m", route, "so")
    client.set_route("m", {"variants": []})
    client.clear_route("m", "enough")
    bodies = [json.loads(body) for _, _, _, body in stub.asked if body]
    assert bodies[0]["variants"][0]["version"] == 1
    assert [one["why"] for one in bodies] == ["so", "", "enough"]


def test_watching_ends_with_the_rollout(client: penstock.RolloutClient, stub: StubServer) -> None:
    stub.answers[f"GET {AT}"] = (200, answer())
    watching = client.watch("a b/c", every_s=0)
    assert not next(watching).is_over
    stub.answers[f"GET {AT}"] = (503, {"error": "restarting"})
    pairs = iter([(503, {"error": "restarting"}), (200, answer(Phase.DONE))])
    stub.answers = Turns(stub.answers, f"GET {AT}", pairs)
    assert [one.phase for one in watching] == [Phase.DONE]


class Turns(dict[str, Any]):
    """Answers of which one path's come one after the other."""

    def __init__(self, answers: dict[str, Any], path: str, turns: Any) -> None:
        super().__init__(answers)
        self._path, self._turns = path, turns

    def get(self, key: str, default: Any = None) -> Any:
        return next(self._turns) if key == self._path else super().get(key, default)


def test_a_server_that_stays_away_is_not_waited_for_for_ever(
    client: penstock.RolloutClient, stub: StubServer
) -> None:
    stub.answers[f"GET {AT}"] = (503, {"error": "restarting"})
    with pytest.raises(NotReady, match="restarting"):
        list(client.watch("a b/c", every_s=0, patience_s=0))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidArgument), (404, NotFound), (409, FailedPrecondition), (503, NotReady)],
)
def test_a_server_that_says_no(
    client: penstock.RolloutClient, stub: StubServer, status: int, kind: type[Exception]
) -> None:
    stub.answers[f"GET {AT}"] = (status, {"error": "no"})
    with pytest.raises(kind, match="no"):
        client.status("a b/c")


@pytest.mark.parametrize("body", [b"<html>", b'{"model": 1}', b""])
def test_an_answer_that_is_none_of_ours(
    client: penstock.RolloutClient, stub: StubServer, body: bytes
) -> None:
    stub.answers[f"GET {AT}"] = (200, body)
    with pytest.raises(Internal, match="is it a Penstock server"):
        client.status("a b/c")


def test_messages_name_the_arguments_of_python() -> None:
    with pytest.raises(ConfigError, match="url ftp://x: expected an address"):
        penstock.RolloutClient("ftp://x")
    with pytest.raises(NotReady, match="or say where it is with url"):
        penstock.RolloutClient("127.0.0.1:9").routes()
