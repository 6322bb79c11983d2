"""Experiments and outcomes over REST: bodies in, answers out, and what each mistake is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from penstock.core.errors import InvalidArgument, NotFound, PenstockError, TooLarge
from penstock.rollout.experiment import experiments as experiments_module
from penstock.rollout.experiment import outcomes as outcomes_module
from penstock.rollout.experiment.control import ExperimentControl
from penstock.rollout.experiment.experiments import Experiments
from penstock.rollout.experiment.outcomes import MAX_ROWS
from penstock.server.experiment_api import MAX_OUTCOMES_BYTES, ExperimentApi
from tests.unit.rollout.experiment.test_decider import (  # noqa: F401  # fixtures
    book,
    clock,
    control,
    experiments,
    orders,
    store,
)
from tests.unit.rollout.experiment.values import FIELDS


def known(model: str) -> list[int]:
    if model != "m":
        raise NotFound(f"no model {model}")
    return [1, 2]


@pytest.fixture
def api(control: ExperimentControl, experiments: Experiments) -> ExperimentApi:  # noqa: F811
    return ExperimentApi(control, experiments, known, ("forgotten when the server ends",))


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


async def test_an_experiment_is_started_shown_and_stopped(api: ExperimentApi) -> None:
    started = json.loads((await api.start(body(FIELDS), "ann")).body)
    assert (started["phase"], started["model"], started["name"]) == ("running", "m", "first")
    assert started["sentence"].startswith("Not enough data yet")
    assert started["notes"] == ["forgotten when the server ends"]
    shown = json.loads((await api.show("m")).body)
    assert shown == started
    stopped = json.loads((await api.stop("m", body({"keep": "b", "why": "done"}), "bob")).body)
    assert (stopped["phase"], stopped["kept"]) == ("ended", "b")
    assert [one["who"] for one in stopped["history"]] == ["ann", "bob"]


async def test_a_stop_needs_no_body(api: ExperimentApi) -> None:
    await api.start(body(FIELDS), "ann")
    assert json.loads((await api.stop("m", b"", "bob")).body)["kept"] == ""


async def test_outcomes_are_taken_row_by_row(api: ExperimentApi) -> None:
    rows = [
        {"prediction_id": "1", "metric": "spent", "value": 2.5},
        {"prediction_id": "1", "metric": "spent", "value": "two"},
    ]
    told = json.loads((await api.outcomes(body({"outcomes": rows}))).body)
    assert (told["taken"], told["unknown"]) == (1, [1])
    assert told["rejected"][0]["row"] == 2
    assert told["rejected"][0]["field"] == "value"


@pytest.mark.parametrize(("num_rows", "is_beside"), [(10, False), (2000, True)])
async def test_many_outcomes_are_sorted_out_beside_the_event_loop(
    api: ExperimentApi, monkeypatch: pytest.MonkeyPatch, num_rows: int, is_beside: bool
) -> None:
    threads = []

    def parse_outcomes(rows: list[Any], now_ms: int) -> outcomes_module.ParsedOutcomes:
        threads.append(threading.current_thread())
        return outcomes_module.parse_outcomes(rows, now_ms)

    monkeypatch.setattr(experiments_module, "parse_outcomes", parse_outcomes)
    rows = [{"prediction_id": str(n), "metric": "spent", "value": n} for n in range(num_rows)]
    told = json.loads((await api.outcomes(body({"outcomes": rows}))).body)
    assert told["taken"] == num_rows
    assert [one is not threading.main_thread() for one in threads] == [is_beside]


Ask = Callable[[ExperimentApi], Any]


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda api: api.start(b"{", "a"), InvalidArgument, "JSON"),
        (lambda api: api.start(b"[]", "a"), InvalidArgument, "must be a JSON object"),
        (lambda api: api.start(body({**FIELDS, "x": 1}), "a"), InvalidArgument, "x: unknown"),
        (
            lambda api: api.start(body({**FIELDS, "level": "high"}), "a"),
            InvalidArgument,
            "$.level: expected a number",
        ),
        (lambda api: api.start(body({**FIELDS, "goals": []}), "a"), InvalidArgument, "goals"),
        (lambda api: api.start(body({**FIELDS, "model": "n"}), "a"), NotFound, "no model n"),
        (
            lambda api: api.start(
                body({**FIELDS, "variants": [{"name": "a", "version": 9}] * 2}), "a"
            ),
            NotFound,
            "'a': m has no version 9; there are: 1, 2",
        ),
        (lambda api: api.show("m"), NotFound, "no experiment of m"),
        (
            lambda api: api.stop("m", body({"kep": "b"}), "a"),
            InvalidArgument,
            "did you mean 'keep'",
        ),
        (lambda api: api.stop("m", body({"keep": 1}), "a"), InvalidArgument, "keep: expected text"),
        (lambda api: api.outcomes(body({})), InvalidArgument, "outcomes: expected a list"),
        (lambda api: api.outcomes(body({"outcome": []})), InvalidArgument, "did you mean"),
        (
            lambda api: api.outcomes(body({"outcomes": [0] * (MAX_ROWS + 1)})),
            TooLarge,
            "at most 10,000 rows, got 10,001",
        ),
        (
            lambda api: api.outcomes(b"[" * (MAX_OUTCOMES_BYTES + 1)),
            TooLarge,
            "at most 8,388,608 bytes, got 8,388,609",
        ),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(
    api: ExperimentApi, ask: Ask, error: type[PenstockError], text: str
) -> None:
    with pytest.raises(error) as caught:
        await ask(api)
    assert text in caught.value.message
