"""penstock.RolloutClient: routes, rollouts and experiments of a running server, from Python."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from penstock.app.cli.server_client import ServerClient, path_of
from penstock.core.errors import Internal, NotReady
from penstock.rollout.experiment.experiments import OutcomesTold
from penstock.server.control_api.actor import ACTOR_HEADER, MAX_ACTOR_CHARS, plain
from penstock.server.control_api.answers import (
    Disagreements,
    History,
    HistoryEntry,
    RolloutAnswer,
    Rollouts,
    RouteAnswer,
    Routes,
)
from penstock.server.experiment_api import ExperimentAnswer

if TYPE_CHECKING:
    from penstock.rollout.spec import RolloutSpec
    from penstock.router.route import Route

T = TypeVar("T")


class _Server(ServerClient):
    """A ServerClient whose messages name the arguments of ``RolloutClient``."""

    url_name, timeout_name = "url", "timeout_s"


class RolloutClient:
    """Changes which version answers, and reads how well it does. Blocks; one request each call.

    ::

        client = penstock.RolloutClient("http://127.0.0.1:8080", actor="deploy-bot")
        client.start({"model": "digits", "candidate": 2})
        for rollout in client.watch("digits"):
            print(rollout.stage, rollout.explanation)

    Each method raises a ``PenstockError``: InvalidArgument (or ConfigError) for a wrong value,
    NotFound for a model that is not there, FailedPrecondition for what cannot be done now, NotReady
    where nobody answers.

    Args:
        url: the server's REST address.
        actor: who asks, for the history; "": ``HTTP``.
        timeout_s: how long the server may be silent, in seconds.

    Attributes:
        url: the same.

    Raises:
        ConfigError: ``url`` is no address.
    """

    def __init__(self, url: str, *, actor: str = "", timeout_s: float = 60.0) -> None:
        self._server: ServerClient = _Server(url, timeout_s)
        self.url = self._server.url
        name = plain(actor, MAX_ACTOR_CHARS).encode().decode("latin-1")  # UTF-8, as bytes
        self._headers = {ACTOR_HEADER: name} if name else {}

    # Rollouts

    def start(
        self, spec: RolloutSpec | Mapping[str, Any] | str | os.PathLike[str]
    ) -> RolloutAnswer:
        """Begin a rollout.

        Args:
            spec: the plan: a ``RolloutSpec``, its fields, or the path of a rollout.yaml.
        """
        if isinstance(spec, str | os.PathLike):
            from penstock.rollout.spec_file import read_spec

            spec = read_spec(Path(spec).read_bytes(), os.fspath(spec))
        return self._ask("POST", "/v2/rollouts", RolloutAnswer, spec)

    def rollouts(self) -> list[RolloutAnswer]:
        """The last rollout of every model that had one."""
        return [*self._ask("GET", "/v2/rollouts", Rollouts).rollouts]

    def status(self, model: str) -> RolloutAnswer:
        """Where the last rollout of a model stands."""
        return self._ask("GET", path_of("rollouts", model), RolloutAnswer)

    def watch(
        self, model: str, every_s: float = 1.0, patience_s: float = 30.0
    ) -> Iterator[RolloutAnswer]:
        """Look again and again; the last answer is that of the end.

        Args:
            model: the model's name.
            every_s: between two looks, in seconds.
            patience_s: a server that is away for longer raises NotReady, in seconds.
        """
        seen_s = time.monotonic()
        while True:
            try:
                answer = self.status(model)
            except NotReady:
                if time.monotonic() - seen_s > patience_s:
                    raise
            else:
                seen_s = time.monotonic()
                yield answer
                if answer.is_over:
                    return
            time.sleep(every_s)

    def pause(self, model: str, why: str = "") -> RolloutAnswer:
        """Stay where it is; what fails still rolls back."""
        return self._act(model, "pause", {"why": why})

    def resume(self, model: str, why: str = "") -> RolloutAnswer:
        """Go on."""
        return self._act(model, "resume", {"why": why})

    def promote(self, model: str, why: str = "", *, full: bool = False) -> RolloutAnswer:
        """Move on without waiting for evidence.

        Args:
            model: the model's name.
            why: for what reason.
            full: all requests to the candidate at once, instead of one stage further.
        """
        return self._act(model, "promote", {"why": why, "full": full})

    def abort(self, model: str, why: str = "") -> RolloutAnswer:
        """Roll back at once."""
        return self._act(model, "abort", {"why": why})

    def history(self, model: str) -> list[HistoryEntry]:
        """Who changed what, when and why, the oldest first."""
        path = path_of("rollouts", model, "history")
        return [*self._ask("GET", path, History).history]

    def disagreements(self, model: str) -> Disagreements:
        """Where the shadow differs most from what the clients got."""
        return self._ask("GET", path_of("rollouts", model, "disagreements"), Disagreements)

    # Routes

    def routes(self) -> list[RouteAnswer]:
        """Every model that has a route."""
        return [*self._ask("GET", "/v2/routes", Routes).routes]

    def route(self, model: str) -> RouteAnswer:
        """Who answers the requests of a model."""
        return self._ask("GET", path_of("routes", model), RouteAnswer)

    def set_route(self, model: str, route: Route | Mapping[str, Any], why: str = "") -> RouteAnswer:
        """Replace a model's route.

        Args:
            model: the model's name.
            route: a ``Route``, or its fields.
            why: for what reason.
        """
        fields = {**msgspec.to_builtins(route), "why": why}
        return self._ask("PUT", path_of("routes", model), RouteAnswer, fields)

    def clear_route(self, model: str, why: str = "") -> RouteAnswer:
        """Have the newest version answer."""
        return self._ask("DELETE", path_of("routes", model), RouteAnswer, {"why": why})

    # Experiments

    def start_experiment(
        self, spec: Mapping[str, Any] | str | os.PathLike[str]
    ) -> ExperimentAnswer:
        """Begin an experiment.

        Args:
            spec: the fields of an experiment.yaml, or its path.
        """
        if isinstance(spec, str | os.PathLike):
            from penstock.rollout.experiment.spec_file import read_experiment

            plan = read_experiment(Path(spec).read_bytes(), os.fspath(spec))
            return self._ask("POST", "/v2/experiments", ExperimentAnswer, plan)
        return self._ask("POST", "/v2/experiments", ExperimentAnswer, spec)

    def experiment(self, model: str) -> ExperimentAnswer:
        """Where the last experiment of a model stands, and what it says."""
        return self._ask("GET", path_of("experiments", model), ExperimentAnswer)

    def stop_experiment(self, model: str, keep: str = "", why: str = "") -> ExperimentAnswer:
        """End an experiment.

        Args:
            model: the model's name.
            keep: the variant that answers from now on; "": as before the experiment.
            why: for what reason.
        """
        path = path_of("experiments", model, "stop")
        return self._ask("POST", path, ExperimentAnswer, {"keep": keep, "why": why})

    def outcomes(self, outcomes: Sequence[Mapping[str, Any]]) -> OutcomesTold:
        """Tell what came of predictions.

        Args:
            outcomes: each with ``prediction_id``, ``metric``, ``value``, and perhaps ``at_ms``.
        """
        return self._ask("POST", "/v2/outcomes", OutcomesTold, {"outcomes": list(outcomes)})

    def _act(self, model: str, action: str, body: Mapping[str, Any]) -> RolloutAnswer:
        return self._ask("POST", path_of("rollouts", model, action), RolloutAnswer, body)

    def _ask(self, method: str, path: str, kind: type[T], body: Any = None) -> T:
        sent = b"" if body is None else msgspec.json.encode(body)
        reply = self._server.request(method, path, sent, self._headers)
        try:
            return msgspec.json.decode(reply.body, type=kind)
        except msgspec.MsgspecError as err:
            raise Internal(
                f"{self._server.url} answered what this client cannot read ({err}): is it a "
                "Penstock server of this version or a later one?"
            ) from err
