"""A rollout that moves an HTTPRoute: to its end, back, after a break, and past what fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.core.errors import ConfigError, FailedPrecondition, NotFound
from penstock.rollout.drivers.drive import DriveOptions
from penstock.rollout.drivers.gateway_api import GatewayApiDriver, KubernetesAccess
from penstock.rollout.drivers.gateway_api_route import Backends
from penstock.rollout.drivers.standalone import Parts, abort, check_standalone, run
from penstock.rollout.outside.prometheus import Sample
from penstock.rollout.outside.sources import Sources
from penstock.rollout.spec import GoldenRequest, PrometheusGate, RolloutSpec, ShadowStage
from penstock.rollout.state import Phase
from penstock.stores.sqlite_control_store import SqliteControlStore
from tests.unit.rollout.kubernetes_api import KubernetesApi, kubernetes_api
from tests.unit.rollout.rollout_plant import quick_spec, turns

GATE = PrometheusGate(url="http://prometheus", query="errors", max=0.01, consecutive=2)


def a_plan(**fields: Any) -> RolloutSpec:
    spec = quick_spec(**fields)
    return msgspec.structs.replace(spec, gates=(GATE,))


class Prometheus:
    """Knows how many requests there were, and how many failed.

    Attributes:
        errors: the value of the gate's query.
        requests: of the candidate in its stage.
        queries: what was asked.
    """

    def __init__(self) -> None:
        self.errors: Callable[[], float | None] = lambda: 0.0
        self.requests = 1000.0
        self.queries: list[str] = []

    async def ask(self, gate: PrometheusGate, spec: RolloutSpec) -> Sample:
        self.queries.append(gate.query)
        value = self.errors() if gate.query == "errors" else self.requests
        return Sample(value, "" if value is not None else "nothing")


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with kubernetes_api() as running:
        yield running


@pytest.fixture
def prometheus() -> Prometheus:
    return Prometheus()


@asynccontextmanager
async def parts(api: KubernetesApi, prometheus: Prometheus, folder: Path) -> AsyncIterator[Parts]:
    access, both = KubernetesAccess(api.url), Backends("digits-v1", "digits-v2")
    store = SqliteControlStore(folder / "rollout.db", is_new=True)
    options = DriveOptions("http://prometheus", "increase(requests[{elapsed}s])", every_s=0.01)
    driver = GatewayApiDriver(access, "models", "digits", both)
    sources = Sources(ask_prometheus=prometheus.ask)
    yield Parts(driver, store, options, "ann", sources)
    await store.close()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():
            await turns(1)


async def test_a_good_candidate_gets_all_the_traffic(
    api: KubernetesApi, prometheus: Prometheus, tmp_path: Path
) -> None:
    async with parts(api, prometheus, tmp_path) as made:
        end = await asyncio.wait_for(run(a_plan(), made), 30)
    assert end.phase is Phase.DONE
    assert [line.to for line in end.history] == ["draft", "warm", "canary 10 %", "bake", "done"]
    assert api.weights == [0, 100_000]
    assert "increase(requests[1s])" in prometheus.queries


async def test_a_bad_one_is_rolled_back(
    api: KubernetesApi, prometheus: Prometheus, tmp_path: Path
) -> None:
    prometheus.errors = lambda: 0.5 if api.weights == [90_000, 10_000] else None
    async with parts(api, prometheus, tmp_path) as made:
        end = await asyncio.wait_for(run(a_plan(), made), 30)
    assert end.phase is Phase.ROLLED_BACK
    assert "0.5" in end.history[-1].why
    assert api.weights == [100_000, 0]


async def test_without_a_request_nothing_passes(
    api: KubernetesApi, prometheus: Prometheus, tmp_path: Path
) -> None:
    prometheus.requests = 0.0
    async with parts(api, prometheus, tmp_path) as made:
        task = asyncio.create_task(run(a_plan(), made))
        await until(lambda: api.weights == [90_000, 10_000])
        asked = len(prometheus.queries)
        await until(lambda: len(prometheus.queries) > asked + 10)
        assert api.weights == [90_000, 10_000]
        prometheus.requests = 100.0
        assert (await asyncio.wait_for(task, 30)).phase is Phase.DONE


async def test_a_run_that_is_ended_is_taken_up_by_the_next(
    api: KubernetesApi, prometheus: Prometheus, tmp_path: Path
) -> None:
    prometheus.requests = 0.0
    async with parts(api, prometheus, tmp_path) as made:
        task = asyncio.create_task(run(a_plan(), made))
        await until(lambda: api.weights == [90_000, 10_000])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert api.weights == [90_000, 10_000]
    prometheus.requests = 100.0
    async with parts(api, prometheus, tmp_path) as made:
        with pytest.raises(FailedPrecondition, match="another rollout of digits"):
            await run(a_plan(candidate=3), made)
        end = await asyncio.wait_for(run(a_plan(), made), 30)
    assert [line.to for line in end.history].count("warm") == 1
    assert api.weights == [0, 100_000]


async def test_what_is_under_way_can_be_rolled_back(
    api: KubernetesApi, prometheus: Prometheus, tmp_path: Path
) -> None:
    prometheus.requests = 0.0
    async with parts(api, prometheus, tmp_path) as made:
        with pytest.raises(NotFound):
            await abort(a_plan(), made, "no need")
        task = asyncio.create_task(run(a_plan(), made))
        await until(lambda: api.weights == [90_000, 10_000])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        end = await asyncio.wait_for(abort(a_plan(), made, "it smells"), 30)
    assert (end.phase, end.history[-1].why) == (Phase.ROLLED_BACK, "it smells")
    assert api.weights == [100_000, 0]


async def test_a_weight_that_somebody_changes_is_put_right(
    api: KubernetesApi, prometheus: Prometheus, tmp_path: Path
) -> None:
    prometheus.requests = 0.0
    async with parts(api, prometheus, tmp_path) as made:
        task = asyncio.create_task(run(a_plan(), made))
        await until(lambda: api.weights == [90_000, 10_000])
        rules = api.route["spec"]["rules"]
        rules[0]["backendRefs"][0]["weight"] = 1
        api.change(rules=rules)
        await until(lambda: api.weights == [90_000, 10_000])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_api_that_is_down_delays_a_rollback_and_loses_none(
    api: KubernetesApi, prometheus: Prometheus, tmp_path: Path
) -> None:
    prometheus.requests = 0.0
    prometheus.errors = lambda: None
    async with parts(api, prometheus, tmp_path) as made:
        task = asyncio.create_task(run(a_plan(), made))
        await until(lambda: api.weights == [90_000, 10_000])
        api.refusal = (503, {"message": "etcd is away"})
        prometheus.errors = lambda: 0.5
        asked = len(api.server.asked)
        await until(lambda: len(api.server.asked) > asked + 5)
        assert not task.done()
        api.refusal = None
        end = await asyncio.wait_for(task, 30)
    assert end.phase is Phase.ROLLED_BACK
    assert api.weights == [100_000, 0]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"reference": None}, r"\$\.reference"),
        ({"shadow": ShadowStage()}, r"\$\.shadow"),
        ({"golden": (GoldenRequest(request={}),)}, r"\$\.golden"),
        ({"gates": RolloutSpec(model="x", candidate=1).gates}, r"\$\.gates\[0\]"),
        ({"gates": (PrometheusGate(url="nonsense", query="up", max=1),)}, r"\$\.gates\[0\]\.url"),
    ],
)
def test_plans_that_take_a_server(fields: dict[str, Any], text: str) -> None:
    check_standalone(a_plan(), "rollout.yaml")
    plan = msgspec.structs.replace(a_plan(), **fields)
    with pytest.raises(ConfigError, match=rf"rollout\.yaml: {text}"):
        check_standalone(plan, "rollout.yaml")
