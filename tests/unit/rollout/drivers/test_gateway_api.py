"""Moving an HTTPRoute: both weights and nothing else, on the revision that was read."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import ConfigError, DeadlineExceeded, NotReady
from penstock.rollout.drivers.driver import Weights
from penstock.rollout.drivers.gateway_api import GatewayApiDriver, KubernetesAccess, in_cluster
from penstock.rollout.drivers.gateway_api_route import Backends, read_splitter, with_weights
from tests.unit.rollout.kubernetes_api import KubernetesApi, answer_file, kubernetes_api

BOTH = Backends("digits-v1", "digits-v2")


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with kubernetes_api() as running:
        yield running


def a_driver(api: KubernetesApi, token: Path | None = None, **fields: Any) -> GatewayApiDriver:
    return GatewayApiDriver(KubernetesAccess(api.url, token, **fields), "models", "digits", BOTH)


async def test_what_is_set_is_there(api: KubernetesApi) -> None:
    driver = a_driver(api)
    assert await driver.get() == (Weights(100.0, 0.0), True, "")
    await driver.set(Weights(95.0, 5.0))
    assert api.weights == [95_000, 5_000]
    assert (await driver.get()).weights == Weights(95.0, 5.0)


async def test_what_is_set_already_is_not_written(api: KubernetesApi) -> None:
    driver = a_driver(api)
    await driver.set(Weights(95.0, 5.0))
    revision = api.route["metadata"]["resourceVersion"]
    await driver.set(Weights(95.0, 5.0))
    assert api.route["metadata"]["resourceVersion"] == revision
    assert api.methods().count("PATCH") == 1


async def test_nothing_else_of_the_route_changes(api: KubernetesApi) -> None:
    before = copy.deepcopy(api.route)
    await a_driver(api).set(Weights(99.5, 0.5))
    after = copy.deepcopy(api.route)
    for ref in (*_refs(before), *_refs(after)):
        ref["weight"] = None
    assert after["spec"] == before["spec"]


def _refs(route: Any) -> list[Any]:
    return list(route["spec"]["rules"][0]["backendRefs"])


async def test_a_change_of_somebody_else_is_kept(api: KubernetesApi) -> None:
    def once() -> None:
        api.before_patch = lambda: None
        api.change(hostnames=["digits.example.com"])

    api.before_patch = once
    await a_driver(api).set(Weights(50.0, 50.0))
    assert api.methods() == ["GET", "PATCH", "GET", "PATCH"]
    assert api.route["spec"]["hostnames"] == ["digits.example.com"]
    assert api.weights == [50_000, 50_000]


async def test_somebody_who_changes_it_all_the_time(api: KubernetesApi) -> None:
    api.before_patch = lambda: api.change()
    with pytest.raises(NotReady, match="somebody else changes it all the time"):
        await a_driver(api).set(Weights(50.0, 50.0))


async def test_a_gateway_that_has_not_seen_it_yet(api: KubernetesApi) -> None:
    api.is_slow = True
    driver = a_driver(api)
    await driver.set(Weights(50.0, 50.0))
    assert not (await driver.get()).in_force


async def test_a_service_that_is_not_there(api: KubernetesApi) -> None:
    api.route = answer_file("backend_not_found")
    found = await a_driver(api).get()
    assert found.fault == (
        "HTTPRoute models/digits is not ResolvedRefs: Failed to process route rule 0 backendRef 1: "
        "service models/digits-v2 not found."
    )


@pytest.mark.parametrize(
    ("status", "name", "kind", "text"),
    [
        (403, "forbidden", ConfigError, "is forbidden: User .*; it takes 'get' and 'patch'"),
        (404, "not_found", ConfigError, "not found"),
        (500, "forbidden", NotReady, "is forbidden"),
        (429, "not_found", NotReady, "not found"),
    ],
)
async def test_refusals(
    api: KubernetesApi, status: int, name: str, kind: type[Exception], text: str
) -> None:
    api.refusal = (status, answer_file(name))
    with pytest.raises(kind, match=rf"^HTTPRoute models/digits: .*{text}"):
        await a_driver(api).get()


async def test_an_api_that_hangs(api: KubernetesApi) -> None:
    api.server.may_answer.clear()
    with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.05 s"):
        await a_driver(api, timeout_s=0.05).get()


async def test_something_that_is_no_kubernetes(api: KubernetesApi) -> None:
    api.refusal = (200, "hello")
    with pytest.raises(ConfigError, match="no HTTPRoute"):
        await a_driver(api).get()


async def test_the_token_is_read_for_each_call(api: KubernetesApi, tmp_path: Path) -> None:
    token = tmp_path / "token"
    driver = a_driver(api, token)
    for text in ("one", "two"):
        token.write_text(f"{text}\n")
        await driver.get()
    sent = [asked.headers["authorization"] for asked in api.server.asked]
    assert sent == ["Bearer one", "Bearer two"]
    token.unlink()
    with pytest.raises(ConfigError, match="--token-file"):
        await driver.get()


def test_a_pod_knows_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_text("c")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    access = in_cluster(environ, tmp_path)
    assert access.url == "https://[fd00::1]:443"
    assert (access.token_file, access.ca_file) == (tmp_path / "token", tmp_path / "ca.crt")
    with pytest.raises(ConfigError, match="--url"):
        in_cluster({}, tmp_path)


def test_an_authority_that_cannot_be_read(tmp_path: Path) -> None:
    access = KubernetesAccess("https://api", ca_file=tmp_path / "none")
    with pytest.raises(ConfigError, match="--ca-file"):
        GatewayApiDriver(access, "models", "digits", BOTH)


# The object


def a_route(*rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"metadata": {}, "spec": {"rules": [{"backendRefs": refs} for refs in rules]}}


def ref(name: str, weight: int | None = None, **fields: Any) -> dict[str, Any]:
    return {"name": name, **fields, **({} if weight is None else {"weight": weight})}


@given(st.floats(0, 100), st.integers(0, 10**6), st.integers(0, 10**6))
def test_weights_survive_and_are_written_once(candidate: float, one: int, other: int) -> None:
    route = a_route([ref("digits-v1", one), ref("digits-v2", other)])
    wanted = Weights(100 - candidate, candidate)
    rules = with_weights(route, BOTH, wanted)
    if rules is not None:
        route = {**route, "spec": {"rules": rules}}
    found = read_splitter(route, BOTH).weights
    assert abs(found.candidate - candidate) <= 0.001
    assert abs(found.stable + found.candidate - 100) < 1e-9
    assert with_weights(route, BOTH, wanted) is None


def test_every_rule_with_both_is_moved_and_no_other() -> None:
    both, alone = [ref("digits-v1"), ref("digits-v2", 0)], [ref("digits-v1", 7)]
    rules = with_weights(a_route(both, alone, both), BOTH, Weights(90, 10))
    assert rules is not None
    assert [[one["weight"] for one in rule["backendRefs"]] for rule in rules] == [
        [90_000, 10_000],
        [7],
        [90_000, 10_000],
    ]


def test_a_weight_that_is_not_given_is_one() -> None:
    route = a_route([ref("digits-v1"), ref("digits-v2", 3)])
    assert read_splitter(route, BOTH).weights == Weights(25.0, 75.0)


def test_rules_that_differ_are_not_in_force() -> None:
    route = a_route(
        [ref("digits-v1", 1), ref("digits-v2", 0)], [ref("digits-v1", 0), ref("digits-v2", 1)]
    )
    assert not read_splitter(route, BOTH).in_force


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ([[ref("digits-v1"), ref("other")]], "found digits-v1, other"),
        ([[ref("digits-v1"), ref("digits-v2"), ref("third")]], "further backends"),
        ([[ref("digits-v1"), ref("digits-v2", kind="Widget")]], "found digits-v1"),
        ([], "found none"),
    ],
)
def test_a_route_that_does_not_share_out_to_the_two(
    rules: list[list[dict[str, Any]]], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        read_splitter(a_route(*rules), BOTH)
