"""Rollouts of a running server, over REST and from Python: promoted, rolled back, resumed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.core.errors import FailedPrecondition, NotFound
from penstock.rollout.state import Phase
from tests.e2e.crowd import Crowd
from tests.fault.fleet import Fleet
from tests.interop.live import AT_ONCE, Live, eventually, text_input
from tests.interop.models import save_python, save_version

pytestmark = pytest.mark.timeout(120)

HTTP_ONLY = ("--set", "grpc.enabled=false")
QUICK = {"min_samples": 30, "min_time_s": 0.5, "timeout_s": 60}
PLAN: dict[str, Any] = {
    "model": "m",
    "candidate": 2,
    "key": {"header": "x-user-id"},
    "steps": [{"weight": 20, **QUICK}, {"weight": 50, **QUICK}],
    "bake": QUICK,
    "gates": [{"metric": "error_rate", "max_increase": 0.2}],
    "interval_s": 0.1,
}
SLOW = {**PLAN, "steps": [{"weight": 20, "min_time_s": 3600, "timeout_s": 7200}]}

FAILS_AT_TIMES = """
from penstock import Model


class Version(Model):
    def predict(self, text: list[str]) -> list[str]:
        if any(line.endswith(("3", "7", "9")) for line in text):
            raise ValueError("a table that is one row short")
        return [line + "-v3" for line in text]
"""
CANNOT_LOAD = "raise RuntimeError('made with another library')\n"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    for version in (1, 2):
        save_version(root, "m", version)
    save_python(root / "m" / "3" / "model.py", FAILS_AT_TIMES)
    save_python(root / "m" / "4" / "model.py", CANNOT_LOAD)
    (root / "m" / "model.yaml").write_text("version_policy: {specific: [1]}\n")
    return root


def ended(client: penstock.RolloutClient) -> Any:
    """The rollout, once it has ended."""
    return eventually(lambda: next((r for r in [client.status("m")] if r.is_over), None), 60)


def reached(client: penstock.RolloutClient, phase: Phase) -> Any:
    """The rollout, once it is in a phase."""
    return eventually(lambda: next((r for r in [client.status("m")] if r.phase is phase), None))


def version_of(server: Live) -> str:
    """Who answers now."""
    version = server.infer("m", text_input("a")).json()["model_version"]
    assert isinstance(version, str)
    return version


def test_a_good_version_is_promoted_and_no_request_fails(tmp_path: Path, models: Path) -> None:
    with Fleet([models], *HTTP_ONLY, folder=tmp_path) as server, Crowd(server) as crowd:
        client = penstock.RolloutClient(server.url, actor="ann")
        shadow = {**QUICK, "gates": [{"metric": "error_rate", "max_increase": 0.2}]}
        told = client.start({**PLAN, "shadow": shadow})
        assert (told.candidate, told.reference, told.is_over) == (2, 1, False)
        assert "forgotten when the server ends" in told.notes[-1]
        end = ended(client)
        assert end.phase is Phase.DONE, (end.explanation, server.log_text()[-3000:])
        crowd.more(50)
        assert (crowd.failures, crowd.sent_back) == ([], 0)
        assert {version_of(server) for _ in range(20)} == {"2"}
        history = client.history("m")
    assert [one.what for one in history] == [
        "draft",
        "warm",
        "shadow",
        "canary 20 %",
        "canary 50 %",
        "bake",
        "done",
    ]
    assert [one.who for one in history] == ["ann", *["controller"] * 6]
    assert all(gate.samples >= 30 for one in history[4:] for gate in one.gates)
    assert "Traceback" not in server.log_text()


def test_a_bad_version_is_rolled_back_and_only_its_own_errors_are_seen(
    tmp_path: Path, models: Path
) -> None:
    with Fleet([models], *HTTP_ONLY, folder=tmp_path) as server, Crowd(server) as crowd:
        client = penstock.RolloutClient(server.url)
        client.start({**PLAN, "candidate": 3})
        end = ended(client)
        assert end.phase is Phase.ROLLED_BACK, end.explanation
        assert "error_rate" in end.explanation
        assert [gate.verdict for gate in end.history[-1].gates] == ["fail"]
        time.sleep(1.0)  # by then the old route holds in every process
        crowd.more(100)
        failures = len(crowd.failures)
        assert failures > 0
        assert all("version 3" in one for one in crowd.failures), crowd.failures[:3]
        crowd.more(100)
        assert len(crowd.failures) == failures
        assert {version_of(server) for _ in range(20)} == {"1"}
        assert server.metric("penstock_rollout_rollbacks_total", model="m") == 1


def test_a_version_that_cannot_be_loaded_meets_no_request(tmp_path: Path, models: Path) -> None:
    with Fleet([models], *HTTP_ONLY, folder=tmp_path) as server, Crowd(server) as crowd:
        client = penstock.RolloutClient(server.url)
        client.start({**PLAN, "candidate": 4})
        end = ended(client)
        assert end.phase is Phase.FAILED
        assert "another library" in end.explanation
        assert not client.start(PLAN).is_over  # the next one may begin
        client.abort("m", "enough for today")
        crowd.more(50)
        assert crowd.failures == []
        assert crowd.answers.keys() == {"1"}


def test_a_restarted_server_goes_on_where_it_was(tmp_path: Path, models: Path) -> None:
    kept = ("--set", f"control_store=sqlite:///{tmp_path}/control.db", *HTTP_ONLY)
    with Fleet([models], *kept, folder=tmp_path) as server, Crowd(server) as crowd:
        client = penstock.RolloutClient(server.url, actor="ann")
        assert not any("forgotten" in note for note in client.start(SLOW).notes)
        before = reached(client, Phase.CANARY)
        client.pause("m", "the night")
        eventually(lambda: crowd.answers.get("2", 0) > 0)
        assert not crowd.failures
    with Fleet([models], *kept, folder=tmp_path) as server:
        client = penstock.RolloutClient(server.url, actor="ben")
        told = client.status("m")
        assert (told.id, told.phase, told.is_paused) == (before.id, Phase.CANARY, True)
        assert told.route == before.route
        with Crowd(server) as crowd:
            eventually(lambda: {"1", "2"} <= crowd.answers.keys())
            client.resume("m")
            client.promote("m", "as agreed", full=True)
            reached(client, Phase.BAKE)
            assert ended(client).phase is Phase.DONE
            assert crowd.failures == []
        assert {version_of(server) for _ in range(10)} == {"2"}
        steps = [(one.what, one.who) for one in client.history("m")]
    assert ("paused", "ann") in steps
    assert steps[-2:] == [("bake", "ben"), ("done", "controller")]


def test_a_process_that_is_killed_takes_no_rollout_with_it(tmp_path: Path, models: Path) -> None:
    with Fleet([models], *HTTP_ONLY, folder=tmp_path) as server:
        client = penstock.RolloutClient(server.url)
        client.start(SLOW)
        reached(client, Phase.CANARY)
        for pid in server.pids():
            os.kill(pid, signal.SIGKILL)
            server.back()
            eventually(lambda: client.status("m").phase is Phase.CANARY)
        with Crowd(server) as crowd:
            eventually(lambda: {"1", "2"} <= crowd.answers.keys())
            assert client.abort("m").phase is Phase.ROLLED_BACK
            crowd.more(50)
            assert crowd.failures == []
        assert {version_of(server) for _ in range(10)} == {"1"}


def test_a_server_alone_makes_what_it_needs_and_says_it_is_forgotten(
    tmp_path: Path, models: Path
) -> None:
    arguments = ("--model-control", "explicit", "--load-model", "m", *AT_ONCE, *HTTP_ONLY)
    save_version(models, "other", 1)
    places = tmp_path / "places"
    places.mkdir()
    os.environ["TMPDIR"] = str(places)
    try:
        server = Live([models], *arguments, folder=tmp_path)
    finally:
        del os.environ["TMPDIR"]
    with server:
        client = penstock.RolloutClient(server.url)
        assert client.routes() == []
        assert server.ask("POST", "/v2/logging", {"log_verbose_level": 1}).status == 200
        told = client.set_route("m", {"variants": [{"name": "a", "version": 2, "weight": 100}]})
        assert any("control_store" in note for note in told.notes)
        eventually(lambda: version_of(server) == "2")
        for path in ("load", "unload"):
            url = f"/v2/repository/models/other/{path}"
            assert server.ask("POST", url).status == 200
            is_ready = server.ask("GET", "/v2/models/other/ready").status == 200
            assert is_ready is (path == "load")
        logs = server.ask("POST", "/v2/logging", {"log_info": False}).json()
        assert (logs["log_verbose_level"], logs["log_info"]) == (1, False)
        client.clear_route("m")
        eventually(lambda: version_of(server) == "1")
        assert list(places.iterdir())
    assert server.wait() == 0
    assert list(places.iterdir()) == []
    assert "Traceback" not in server.log_text()


def test_what_is_asked_of_a_routed_model_is_told_of_the_version_that_answers(
    tmp_path: Path, models: Path
) -> None:
    with Live([models], *AT_ONCE, *HTTP_ONLY, folder=tmp_path) as server:
        client = penstock.RolloutClient(server.url)
        variants = [
            {"name": "stable", "version": 2, "weight": 90},
            {"name": "canary", "version": 3, "weight": 10},
        ]
        client.set_route("m", {"variants": variants, "labels": {"new": 3}})
        eventually(lambda: client.route("m").ready == (1, 2, 3))
        assert server.ask("GET", "/v2/models/m").json()["versions"] == ["1", "2", "3"]
        assert server.ask("GET", "/v2/models/m/ready").status == 200
        assert server.ask("GET", "/v2/models/m/versions/new/ready").status == 200
        stats = server.ask("GET", "/v2/models/m/versions/new/stats").json()["model_stats"]
        assert [one["version"] for one in stats] == ["3"]
        names = {server.infer("m", text_input("a")).json()["parameters"]["variant"] for _ in "ab"}
        assert names <= {"stable", "canary"}
        answered = eventually(lambda: server.metric("penstock_variant_requests_total", model="m"))
        assert answered >= 2
        client.clear_route("m")
        eventually(lambda: client.route("m").ready == (1,))


def test_what_cannot_be_is_said(tmp_path: Path, models: Path) -> None:
    with Live([models], *AT_ONCE, *HTTP_ONLY, folder=tmp_path) as server:
        client = penstock.RolloutClient(server.url)
        with pytest.raises(NotFound, match="not found"):
            client.status("mm")
        with pytest.raises(NotFound, match="no rollout"):
            client.status("m")
        client.start(SLOW)
        with pytest.raises(FailedPrecondition, match="abort"):
            client.set_route("m", {"variants": [{"name": "a", "version": 1, "weight": 100}]})
        reply = server.ask("POST", "/v2/rollouts", {**PLAN, "candidates": 2})
        assert (reply.status, "did you mean 'candidate'" in reply.error) == (400, True)
        assert server.ask("PATCH", "/v2/rollouts/m").status == 405
        assert server.ask("POST", "/v2/rollouts/m/resume").status == 409
        client.abort("m")
