"""Asks a Prometheus server for one value at this instant."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from penstock.core.errors import PenstockError
from penstock.rollout.outside.http_call import HttpCall, call
from penstock.rollout.spec import PrometheusGate, RolloutSpec

_MAX_TOLD_CHARS = 200


class Sample(NamedTuple):
    """What a query gave.

    Attributes:
        value: a finite number; None: there is none, and that is neither good nor bad.
        why: why there is none; "": there is one.
    """

    value: float | None
    why: str = ""


async def ask(
    gate: PrometheusGate, spec: RolloutSpec, hosts: tuple[str, ...] | None = None
) -> Sample:
    """The value of a gate's query now; whatever goes wrong is no value, and says why.

    Args:
        gate: server, query and time-out.
        spec: whose model and versions are filled in.
        hosts: who may be asked, see ``outbound.check_host``; None: anybody.

    Source: Prometheus, "HTTP API", instant queries.
    """
    try:
        answer = await call(HttpCall(query_url(gate, spec), gate.timeout_s), hosts=hosts)
    except PenstockError as err:
        return Sample(None, f"Prometheus: {err.message}")
    return read_answer(answer.status, answer.body)


def query_url(gate: PrometheusGate, spec: RolloutSpec) -> str:
    """The address of the query, the model and its versions filled in. Pure."""
    from urllib.parse import urlencode

    query = fill_in(gate.query, spec)
    asked = urlencode({"query": query, "timeout": f"{gate.timeout_s:g}s"})
    return f"{gate.url.rstrip('/')}/api/v1/query?{asked}"


def fill_in(query: str, spec: RolloutSpec) -> str:
    """A query with ``{model}``, ``{candidate}`` and ``{reference}`` in their places.

    Other braces stay: PromQL has its own.
    """
    names = {"model": spec.model, "candidate": spec.candidate, "reference": spec.reference}
    for name, value in names.items():
        text = "" if value is None else str(value)
        query = query.replace(f"{{{name}}}", text)
    return query


def read_answer(status: int, body: bytes) -> Sample:
    """The one number in an answer.

    Law: no sample, several samples, a NaN, an infinity and an error are no value; whether such a
    thing is good or bad nobody knows.

    Args:
        status: the HTTP status.
        body: JSON.
    """
    try:
        answer = msgspec.json.decode(body)
        if answer["status"] != "success":
            return Sample(None, f"Prometheus refuses the query: {_short(answer.get('error', ''))}")
        data = answer["data"]
        return _one(data["resultType"], data["result"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, IndexError):
        return Sample(None, f"HTTP status {status} and no answer of Prometheus: is the URL right?")


def _one(kind: str, result: Any) -> Sample:
    if kind == "scalar":
        return _number(result)
    if kind != "vector":
        return Sample(None, f"the query gives a {kind}: it has to give a single number")
    if not result:
        return Sample(None, "the query finds nothing: is the metric's name right?")
    if len(result) > 1:
        return Sample(None, f"the query gives {len(result)} samples: put sum(...) around it")
    return _number(result[0]["value"])


def _number(sample: Any) -> Sample:
    _, text = sample
    value = float(text)
    if not math.isfinite(value):
        return Sample(None, f"the query gives {text}, as after a division by zero")
    return Sample(value)


def _short(text: object) -> str:
    return " ".join(str(text).split())[:_MAX_TOLD_CHARS]
