"""The streams benchmark: what its rounds come to, and what its records are."""

from __future__ import annotations

import json

import pytest

from benchmarks.stream_brokers import FastStreamStreams
from benchmarks.streams import make_rows
from benchmarks.streams_report import ratios, streams_markdown, summarise

ROUNDS = [
    {"engine, loop": {"rate": 100.0}, "penstock, redis": {"rate": 90.0, "p99_ms": 5.0}},
    {"engine, loop": {"rate": 200.0}, "penstock, redis": {"rate": 100.0, "p99_ms": 7.0}},
    {"engine, loop": {"rate": 100.0}},
]


def test_ratios_are_of_one_round_each() -> None:
    assert ratios(ROUNDS) == {
        "penstock, redis / engine, loop": {"median": 0.7, "min": 0.5, "max": 0.9, "rounds": 2}
    }


def test_an_arm_has_the_figures_it_has() -> None:
    found = summarise(ROUNDS)
    assert set(found["engine, loop"]) == {"rate"}
    assert found["penstock, redis"]["p99_ms"]["median"] == 6.0


def test_the_page_names_each_arm() -> None:
    machine = {"processor": "p", "cores": 2, "memory_gib": 1, "system": "s"}
    workload = {
        "model": "m",
        "records": 1000,
        "arms": summarise(ROUNDS),
        "ratios": ratios(ROUNDS),
        "left_out": {"penstock, nats": "no server"},
        "notes": {"engine, loop": "bare"},
    }
    page = streams_markdown(
        {
            "name": "streams",
            "date": "d",
            "commit": "",
            "machine": machine,
            "how": "3 rounds",
            "workloads": {"tweets": workload},
        }
    )
    assert "| penstock, redis | 95.0 (90.0 to 100) |" in page
    assert "Left out: penstock, nats: no server" in page


@pytest.mark.parametrize(("model", "field"), [("tweets", "text"), ("tiny", "pixels")])
def test_a_record_begins_with_its_moment(model: str, field: str) -> None:
    rows = make_rows(model, 3)
    assert len(rows) == 3
    assert list(json.loads(rows[0])) == ["at", field]
    stamped = '{"at": 1.5,' + rows[0].partition(",")[2]
    assert json.loads(stamped)["at"] == 1.5


def test_the_value_of_a_framed_answer() -> None:
    body = b'{"label":3,"at":1.5}'
    assert FastStreamStreams("redis://x").value({b"__data__": b"\x89BIN\x00{" + body}) == body
