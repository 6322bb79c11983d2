"""One value of Prometheus: a number, or the reason why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from penstock.rollout.outside.prometheus import ask, fill_in, query_url, read_answer
from penstock.rollout.spec import PrometheusGate
from tests.unit.rollout.outside_server import OutsideServer, Said, outside_server
from tests.unit.rollout.rollouts import a_spec

ONE = b'{"status":"success","data":{"resultType":"vector","result":[%s]}}'
SAMPLE = b'{"metric":{"model":"digits"},"value":[1700000000.1,"%s"]}'


@pytest.fixture
def server() -> Iterator[OutsideServer]:
    with outside_server() as outside:
        yield outside


def a_gate(url: str, **fields: object) -> PrometheusGate:
    return PrometheusGate(url=url, query="up", max=1, **fields)  # type: ignore[arg-type]


async def test_a_vector_of_one_sample(server: OutsideServer) -> None:
    server.answer = lambda asked: Said(200, ONE % (SAMPLE % b"0.25"))
    assert await ask(a_gate(f"{server.url}/prometheus/"), a_spec()) == (0.25, "")
    asked = urlsplit(server.asked[0].path)
    assert asked.path == "/prometheus/api/v1/query"
    assert parse_qs(asked.query) == {"query": ["up"], "timeout": ["5s"]}


@pytest.mark.parametrize(
    ("body", "value", "why"),
    [
        (b'{"status":"success","data":{"resultType":"scalar","result":[1.5,"7"]}}', 7.0, ""),
        (ONE % b"", None, "finds nothing"),
        (ONE % (SAMPLE % b"1" + b"," + SAMPLE % b"2"), None, "2 samples"),
        (ONE % (SAMPLE % b"NaN"), None, "gives NaN"),
        (ONE % (SAMPLE % b"+Inf"), None, r"gives \+Inf"),
        (b'{"status":"success","data":{"resultType":"matrix","result":[]}}', None, "a matrix"),
        (b'{"status":"error","errorType":"bad_data","error":"parse\\nerror"}', None, "parse error"),
        (b"<html>", None, "is the URL right"),
        (b"[]", None, "is the URL right"),
        (b'{"status":"success","data":{"resultType":"scalar","result":[1]}}', None, "is the URL"),
        (b'{"status":"success","data":{"resultType":"scalar","result":[1,"x"]}}', None, "the URL"),
    ],
)
def test_answers(body: bytes, value: float | None, why: str) -> None:
    sample = read_answer(200, body)
    assert sample.value == value
    assert bool(sample.why) == (value is None)
    assert re.search(why, sample.why)


async def test_a_server_that_hangs_is_no_value(server: OutsideServer) -> None:
    server.may_answer.clear()
    sample = await ask(a_gate(server.url, timeout_s=0.05), a_spec())
    assert sample == (None, "Prometheus: no answer within 0.05 s")


async def test_nobody_there_is_no_value() -> None:
    sample = await ask(a_gate("http://127.0.0.1:1"), a_spec())
    assert sample.value is None
    assert sample.why.startswith("Prometheus: nobody answers there")


def test_names_are_filled_in_and_other_braces_stay() -> None:
    query = 'sum(rate(errors{model="{model}",version="{candidate}"}[5m])) / {reference}'
    filled = 'sum(rate(errors{model="digits",version="2"}[5m])) / 1'
    assert fill_in(query, a_spec()) == filled
    assert "errors%7Bmodel%3D%22digits" in query_url(
        PrometheusGate(url="http://p", query=query, max=1), a_spec()
    )


async def test_who_may_not_be_asked_gives_no_value(server: OutsideServer) -> None:
    sample = await ask(a_gate(server.url), a_spec(), ("elsewhere",))
    assert sample.value is None
    assert "outbound_hosts" in sample.why
    assert server.asked == []
