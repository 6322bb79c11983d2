"""The control API over HTTP: paths and bodies to operations, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.core.errors import FailedPrecondition, NotFound
from penstock.dialects.open_inference.errors import error_body
from penstock.rollout.spec_file import read_spec
from penstock.server.control_api.actor import actor_of
from penstock.server.control_api.answers import History, Rollouts, Routes
from penstock.server.control_api.bodies import (
    check_no_more,
    read_object,
    read_route,
    take_flag,
    take_text,
    take_why,
)
from penstock.server.control_api.traffic_control import Action, TrafficControl
from penstock.server.exchange import Answer, json_answer

_CONFLICT = 409


async def answer_control(
    control: TrafficControl,
    method: str,
    path: list[str],
    body: bytes,
    headers: Mapping[bytes, bytes],
) -> Answer:
    """Answer one request.

    Args:
        control: the operations.
        method: the HTTP method, one that the path takes.
        path: the segments below ``/v2``.
        body: the request's body.
        headers: the request's, names in lower case.

    Raises:
        PenstockError: the caller turns it into an error answer; what cannot be done now is
            answered here, by 409: to try it again as it is would be of no use.
    """
    who = actor_of(headers)
    try:
        match path:
            case ["routes", *rest]:
                return json_answer(await _routes(control, method, rest, body, who))
            case ["rollouts", *rest]:
                return json_answer(await _rollouts(control, method, rest, body, who))
            case _:
                return await _experiments(control, method, path, body, who)
    except FailedPrecondition as error:
        return Answer(_CONFLICT, error_body(error.message))


async def _routes(
    control: TrafficControl, method: str, path: list[str], body: bytes, who: str
) -> Any:
    if not path:
        return Routes(tuple(await control.routes()))
    model = path[0]
    if method == "GET":
        return await control.route(model)
    fields = read_object(body, "route")
    why = take_why(fields)
    if method == "PUT":
        return await control.set_route(model, read_route(fields), who, why)
    check_no_more(fields, ("why",), "body")
    return await control.clear_route(model, who, why)


async def _rollouts(
    control: TrafficControl, method: str, path: list[str], body: bytes, who: str
) -> Any:
    match path:
        case [] if method == "POST":
            return await control.start(read_spec(read_object(body, "rollout"), "rollout"), who)
        case []:
            return Rollouts(tuple(await control.rollouts()))
        case [model]:
            return await control.rollout(model)
        case [model, "history"]:
            return History(model, tuple(await control.history(model)))
        case [model, "disagreements"]:
            return await control.disagreements(model)
        case [model, ("pause" | "resume" | "promote" | "abort") as action]:
            return await _act(control, model, action, body, who)
        case _:
            raise NotFound("Not Found")


async def _act(control: TrafficControl, model: str, action: Action, body: bytes, who: str) -> Any:
    fields = read_object(body, "body")
    why, full, stage = take_why(fields), False, ""
    if action == "promote":
        full, stage = take_flag(fields, "full"), take_text(fields, "stage")
    known = ("why", "full", "stage") if action == "promote" else ("why",)
    check_no_more(fields, known, "body")
    return await control.act(model, action, who, why, full=full, stage=stage)


async def _experiments(
    control: TrafficControl, method: str, path: list[str], body: bytes, who: str
) -> Answer:
    api = control.experiment_api
    match path:
        case ["experiments"]:
            return await api.start(body, who)
        case ["experiments", model] if method == "GET":
            return await api.show(model)
        case ["experiments", model, "stop"]:
            return await api.stop(model, body, who)
        case ["outcomes"]:
            return await api.outcomes(body)
        case _:
            raise NotFound("Not Found")
