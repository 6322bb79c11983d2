"""Paths, bodies and statuses of the control API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.core.errors import PenstockError
from penstock.dialects.open_inference.errors import http_status
from penstock.server.control_api.control_routes import answer_control
from penstock.server.exchange import Answer
from tests.unit.server.control_api.plant import Works

ROUTE = {
    "variants": [
        {"name": "stable", "version": 1, "weight": 50},
        {"name": "canary", "version": 2, "weight": 50},
    ]
}
PLAN = {"model": "digits", "candidate": 2}


async def ask(works: Works, method: str, path: str, body: Any = None, who: str = "") -> Answer:
    sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    headers = {b"x-penstock-actor": who.encode()} if who else {}
    return await answer_control(works.control, method, path.split("/"), sent, headers)


async def test_routes_over_http() -> None:
    works = Works()
    async with works:
        put = await ask(works, "PUT", "routes/digits", {**ROUTE, "why": "a try"}, "ann")
        assert (put.status, json.loads(put.body)["model"]) == (200, "digits")
        listed = json.loads((await ask(works, "GET", "routes")).body)
        assert [one["model"] for one in listed["routes"]] == ["digits"]
        told = json.loads((await ask(works, "GET", "routes/digits")).body)
        assert [one["weight"] for one in told["route"]["variants"]] == [50, 50]
        assert (await ask(works, "DELETE", "routes/digits", {"why": "done"})).status == 200
    assert [(one.who, one.why) for one in works.store.changes] == [
        ("ann", "a try"),
        ("HTTP", "done"),
    ]


async def test_rollouts_over_http() -> None:
    works = Works()
    async with works:
        assert (await ask(works, "POST", "rollouts", PLAN, "ann")).status == 200
        told = json.loads((await ask(works, "GET", "rollouts/digits")).body)
        assert (told["phase"], told["spec"]["candidate"]) == ("draft", 2)
        for action in ("pause", "resume", "promote", "abort"):
            path = f"rollouts/digits/{action}"
            assert (await ask(works, "POST", path, {"why": action}, "ben")).status == 200, action
        listed = json.loads((await ask(works, "GET", "rollouts")).body)["rollouts"]
        assert [one["phase"] for one in listed] == ["rolled back"]
        history = json.loads((await ask(works, "GET", "rollouts/digits/history")).body)
        assert history["history"][-1]["who"] == "ben"
        found = json.loads((await ask(works, "GET", "rollouts/digits/disagreements")).body)
        assert found["examples"] == []


async def test_promote_may_go_all_the_way() -> None:
    works = Works()
    async with works:
        await ask(works, "POST", "rollouts", PLAN)
        assert (await ask(works, "POST", "rollouts/digits/promote", {"full": True})).status == 200
        routing = works.book.routing("digits")
    assert routing is not None
    assert routing.rollout is not None
    assert routing.rollout.asked is not None
    assert routing.rollout.asked.to_bake


async def test_a_retry_does_not_promote_twice() -> None:
    works = Works()
    path = "rollouts/digits/promote"
    async with works:
        await ask(works, "POST", "rollouts", PLAN)
        assert (await ask(works, "POST", path, {"stage": "draft"})).status == 200
        assert (await ask(works, "POST", path, {"stage": "draft, paused"})).status == 200
        routing = works.book.routing("digits")
        refused = await ask(works, "POST", path, {"stage": "canary 1 %"})
        assert refused.status == 409
        assert "is not at 'canary 1 %', it is at 'draft'" in json.loads(refused.body)["error"]
        assert works.book.routing("digits") == routing
        await ask(works, "POST", "rollouts/digits/abort")
        assert (await ask(works, "POST", path, {"stage": "draft"})).status == 409


SECRET = "xoxb-secret"
SECRETIVE = {
    **PLAN,
    "webhook": {"url": f"https://hooks.example/services/{SECRET}"},
    "gates": [
        {"metric": "prometheus", "url": f"http://p:9090/?t={SECRET}", "query": "1", "max": 1}
    ],
}


async def test_the_paths_of_urls_are_shown_to_nobody_and_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    works = Works()
    asked = [("POST", "rollouts", SECRETIVE), ("GET", "rollouts", None)]
    asked += [("GET", f"rollouts/digits{part}", None) for part in ("", "/history")]
    asked += [("POST", "rollouts/digits/abort", None)]
    async with works:
        for method, path, body in asked:
            answer = await ask(works, method, path, body)
            assert answer.status == 200
            assert SECRET not in bytes(answer.body).decode(), path
        spec = json.loads(answer.body)["spec"]
        routing = works.book.routing("digits")
    assert spec["webhook"]["url"] == "https://hooks.example/..."
    assert spec["gates"][0]["url"] == "http://p:9090/..."
    assert routing is not None
    assert routing.rollout is not None
    assert routing.rollout.spec.webhook is not None
    assert routing.rollout.spec.webhook.url.endswith(SECRET)
    assert SECRET not in caplog.text


BAD = [
    ("PUT", "routes/digits", b"{", 400, "JSON"),
    ("PUT", "routes/digits", b"[]", 400, "JSON object"),
    ("PUT", "routes/digits", {}, 400, "variants: missing"),
    ("PUT", "routes/digits", {"variants": []}, 400, "at least one"),
    ("PUT", "routes/digits", {**ROUTE, "why": 5}, 400, "why: expected text"),
    ("PUT", "routes/digits", {**ROUTE, "kep": [1]}, 400, "did you mean 'keep'"),
    ("PUT", "routes/nope", ROUTE, 404, "nope"),
    ("GET", "routes/nope", None, 404, "nope"),
    ("DELETE", "routes/nope", None, 404, "nope"),
    ("DELETE", "routes/digits", {"wy": ""}, 400, "did you mean 'why'"),
    ("POST", "rollouts", b"", 400, "missing"),
    ("POST", "rollouts", {**PLAN, "candidates": 3}, 400, "did you mean 'candidate'"),
    ("POST", "rollouts", {**PLAN, "candidate": "2"}, 400, "expected a whole number"),
    ("POST", "rollouts", {**PLAN, "candidate": 9}, 400, "there: 1, 2, 3"),
    ("POST", "rollouts", {**PLAN, "gates": [{"metric": "eror_rate"}]}, 400, "error_rate"),
    ("POST", "rollouts", {**PLAN, "model": "nope"}, 404, "nope"),
    ("GET", "rollouts/nope", None, 404, "nope"),
    ("GET", "rollouts/digits", None, 404, "there was no rollout"),
    ("POST", "rollouts/digits/pause", {}, 404, "there was no rollout"),
    ("POST", "rollouts/digits/promote", {"full": 1}, 400, "full: expected true or false"),
    ("POST", "rollouts/digits/abort", {"full": True}, 400, "full: unknown field"),
    ("POST", "rollouts/digits/promote", {"stage": 1}, 400, "stage: expected text"),
    ("POST", "rollouts/digits/abort", {"stage": "draft"}, 400, "stage: unknown field"),
    ("POST", "rollouts", {**PLAN, "webhook": {"url": "http://h:x/"}}, 400, "webhook.url"),
    ("GET", "rollouts/nope/history", None, 404, "nope"),
    ("GET", "rollouts/digits/nothing", None, 404, "Not Found"),
    ("GET", "rollouts/digits/pause/x", None, 404, "Not Found"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "said"), BAD)
async def test_what_is_wrong_is_named(
    method: str, path: str, body: Any, status: int, said: str
) -> None:
    works = Works()
    async with works:
        with pytest.raises(PenstockError) as caught:
            await ask(works, method, path, body)
    assert http_status(caught.value) == status
    assert said in caught.value.message
    assert works.store.changes == []


async def test_what_cannot_be_now_is_a_conflict() -> None:
    works = Works()
    async with works:
        await ask(works, "POST", "rollouts", PLAN)
        again = await ask(works, "POST", "rollouts", PLAN)
        routed = await ask(works, "PUT", "routes/digits", ROUTE)
        resumed = await ask(works, "POST", "rollouts/digits/resume")
    assert [again.status, routed.status, resumed.status] == [409, 409, 409]
    assert "abort" in json.loads(routed.body)["error"]
