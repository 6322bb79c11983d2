"""Experiments and outcomes over REST: reads bodies, asks ``ExperimentControl``, tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from penstock.core.errors import ConfigError, InvalidArgument, NotFound, TooLarge
from penstock.repository.manifest_shape import describe
from penstock.rollout.experiment.control import ExperimentControl
from penstock.rollout.experiment.experiments import Experiments
from penstock.rollout.experiment.outcomes import MAX_ROWS
from penstock.rollout.experiment.result import ExperimentResult
from penstock.rollout.experiment.spec import ExperimentSpec
from penstock.rollout.experiment.spec_file import read_experiment
from penstock.rollout.experiment.state import ExperimentStep
from penstock.server.control_api.bodies import check_no_more, read_object, take_why
from penstock.server.exchange import Answer, json_answer

_BODY = "body"
MAX_OUTCOMES_BYTES = 8 * 1024**2
"""The largest body of outcomes."""

_ON_A_THREAD_BYTES = 64 * 1024
"""Bodies of outcomes beyond this are read beside the event loop."""

VersionsThere = Callable[[str], Collection[int]]
"""The versions of a model that the repository holds; NotFound where there is no such model."""


class ExperimentAnswer(msgspec.Struct, frozen=True):
    """Where an experiment stands.

    Attributes:
        model: the model's name.
        name: the experiment's.
        id: unlike that of any other experiment.
        phase: ``warm``, ``running``, ``ended`` or ``failed``.
        sentence: the verdict, for a person.
        mode: ``fixed`` or ``thompson``.
        entered_ms: when this phase began, in milliseconds since 1970.
        started_ms: when the requests were shared out first; 0: not yet.
        kept: the variant that is the route since the end; "": the route before is.
        result: what it says so far, with its numbers.
        history: every change, the oldest first.
        spec: what was asked for.
        notes: what should be known beside it, a sentence each.
    """

    model: str
    name: str
    id: str
    phase: str
    sentence: str
    mode: str
    entered_ms: int
    started_ms: int
    kept: str
    result: ExperimentResult
    history: tuple[ExperimentStep, ...]
    spec: ExperimentSpec
    notes: tuple[str, ...] = ()


class ExperimentApi:
    """The handlers of ``/v2/experiments`` and ``/v2/outcomes``.

    Args:
        control: of the experiments.
        experiments: takes outcomes.
        versions_there: which versions there are.
        notes: what is told with each experiment, such as that it is forgotten at the end.
    """

    def __init__(
        self,
        control: ExperimentControl,
        experiments: Experiments,
        versions_there: VersionsThere,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._control = control
        self._experiments = experiments
        self._versions_there = versions_there
        self._notes = notes

    async def start(self, body: bytes, who: str) -> Answer:
        """``POST /v2/experiments``: the fields of an experiment.yaml, as JSON.

        Raises:
            InvalidArgument: a field is wrong.
            NotFound: there is no such model or version.
            PenstockError: see ``ExperimentControl.start``.
        """
        try:
            spec = read_experiment(read_object(body, "experiment"), "experiment")
        except ConfigError as err:
            raise InvalidArgument(err.message) from err
        there = self._versions_there(spec.model)
        for variant in spec.variants:
            if variant.version not in there:
                known = ", ".join(map(str, sorted(there))) or "none"
                raise NotFound(
                    f"variants: '{variant.name}': {spec.model} has no version {variant.version}; "
                    f"there are: {known}"
                )
        await self._control.start(spec, who)
        return await self.show(spec.model)

    async def show(self, model: str) -> Answer:
        """``GET /v2/experiments/{model}``; raises what ``ExperimentControl.status`` raises."""
        status = await self._control.status(model)
        state, result = status.state, status.result
        return json_answer(
            ExperimentAnswer(
                model=state.spec.model,
                name=state.spec.name,
                id=state.id,
                phase=str(state.phase),
                sentence=result.sentence,
                mode=state.spec.mode,
                entered_ms=state.entered_ms,
                started_ms=state.started_ms,
                kept=state.kept,
                result=result,
                history=state.history,
                spec=state.spec,
                notes=self._notes,
            )
        )

    async def stop(self, model: str, body: bytes, who: str) -> Answer:
        """``POST /v2/experiments/{model}/stop``: ``{"keep": "", "why": ""}``, both optional.

        Raises:
            InvalidArgument: a field is wrong.
            PenstockError: see ``ExperimentControl.stop``.
        """
        fields = read_object(body, _BODY)
        keep, why = _take_text(fields, "keep"), take_why(fields)
        check_no_more(fields, ("keep", "why"), _BODY)
        await self._control.stop(model, keep, who, why)
        return await self.show(model)

    async def outcomes(self, body: bytes) -> Answer:
        """``POST /v2/outcomes``: ``{"outcomes": [{prediction_id, metric, value, at_ms}]}``.

        Good rows are taken whatever the others are; the answer names those that are not.

        Raises:
            InvalidArgument: the body is no such object.
            TooLarge: it has more bytes or rows than are taken at once.
            Overloaded: rows of unknown predictions were refused, all others taken.
            StoreError: nothing was written; all may be told again.
        """
        if len(body) > MAX_OUTCOMES_BYTES:
            raise TooLarge(
                f"outcomes: expected a body of at most {MAX_OUTCOMES_BYTES:,} bytes, got "
                f"{len(body):,}: send them in parts"
            )
        is_large = len(body) > _ON_A_THREAD_BYTES
        rows = await asyncio.to_thread(_read_rows, body) if is_large else _read_rows(body)
        return json_answer(await self._experiments.record(rows, on_thread=is_large))


def _read_rows(body: bytes) -> list[Any]:
    fields = read_object(body, _BODY)
    rows = fields.pop("outcomes", None)
    check_no_more(fields, ("outcomes",), _BODY)
    if not isinstance(rows, list):
        raise InvalidArgument(
            "outcomes: expected a list of objects with prediction_id, metric and value, got "
            f"{describe(rows)}"
        )
    if len(rows) > MAX_ROWS:
        raise TooLarge(
            f"outcomes: expected at most {MAX_ROWS:,} rows, got {len(rows):,}: send them in parts"
        )
    return rows


def _take_text(fields: dict[str, Any], name: str) -> str:
    value = fields.pop(name, "")
    if not isinstance(value, str):
        raise InvalidArgument(f"{name}: expected text, got {describe(value)}")
    return value
