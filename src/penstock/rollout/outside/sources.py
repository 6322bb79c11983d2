"""Outside: what a decision needs from others, asked in the background and never waited for."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeAlias

import msgspec

from penstock.core.errors import PenstockError
from penstock.core.servable import InferenceClient
from penstock.evidence.means import Moments
from penstock.rollout.gates.prometheus import read_verdict
from penstock.rollout.golden import ReadRequest, ask_golden
from penstock.rollout.outside import prometheus
from penstock.rollout.outside.prometheus import Sample
from penstock.rollout.plan import gates_of
from penstock.rollout.seen import Reading
from penstock.rollout.spec import OutcomeGate, PrometheusGate, RolloutSpec
from penstock.rollout.state import Phase, RolloutState

_log: Final = logging.getLogger("penstock.rollout")

_OUTCOMES_TIMEOUT_S = 10.0

Step: TypeAlias = Callable[[], Awaitable[bool]]
"""Done again and again; True: it is done for good."""

Sleep: TypeAlias = Callable[[float], Awaitable[None]]
AskPrometheus: TypeAlias = Callable[[PrometheusGate, RolloutSpec], Awaitable[Sample]]


class OutcomeSource(Protocol):
    """Who knows what came of the predictions."""

    async def moments(self, model: str, experiment: str, metric: str) -> Mapping[str, Moments]:
        """The values of a metric by the variant's name.

        Args:
            model: the model's name.
            experiment: the experiment, or the stage of a rollout.
            metric: the metric's name.

        Raises:
            StoreError: they cannot be read.
        """
        ...


class Sources(msgspec.Struct, frozen=True):
    """Who is asked.

    Attributes:
        client: reaches the models, for golden requests; None: they are never answered.
        read_request: reads a golden request; None: as above.
        outcomes: None: nothing ever came of a prediction.
        ask_prometheus: asks for one value.
        sleep: waits for so many seconds.
    """

    client: InferenceClient | None = None
    read_request: ReadRequest | None = None
    outcomes: OutcomeSource | None = None
    ask_prometheus: AskPrometheus = prometheus.ask
    sleep: Sleep = asyncio.sleep


class Outside:
    """Asks for one rollout, in each stage what its gates need, every ``interval_s``.

    Law: a source that hangs, fails or lies about its time delays nothing but its own value.

    Args:
        sources: who is asked.

    Attributes:
        readings: of each Prometheus gate, by its place among the stage's gates.
        outcomes: of each metric, by name; those of one stage.
        golden: see ``Evidence.golden``.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(self, sources: Sources) -> None:
        self.readings: dict[int, Reading] = {}
        self.outcomes: dict[str, Mapping[str, Moments]] = {}
        self.golden: str | None = None
        self._sources = sources
        self._stage = ""
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, state: RolloutState) -> None:
        """Ask what this stage needs from now on; what another one needed is asked no more."""
        if state.stage == self._stage:
            return
        self._stop()
        self._stage, self.readings, self.outcomes, self.golden = state.stage, {}, {}, None
        for what, step in self._needed(state).items():
            work = self._repeat(step, what, state.spec)
            self._tasks.append(asyncio.create_task(work, name=f"{state.stage}: {what}"))

    async def close(self) -> None:
        """Ask no more."""
        tasks = [*self._tasks]
        self._stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def _needed(self, state: RolloutState) -> dict[str, Step]:
        """What is done again and again in this stage, by what failures call it."""
        spec, gates = state.spec, gates_of(state.spec, state.phase)
        steps: dict[str, Step] = {}
        for index, gate in enumerate(gates):
            if isinstance(gate, PrometheusGate):
                steps[f"query {index}"] = functools.partial(self._query, index, gate, spec)
            elif isinstance(gate, OutcomeGate):
                steps[f"outcome {gate.name}"] = functools.partial(self._add_up, state, gate.name)
        if state.phase is Phase.WARM and spec.golden:
            steps["golden requests"] = functools.partial(self._check_golden, spec)
        return steps

    async def _repeat(self, step: Step, what: str, spec: RolloutSpec) -> None:
        """Do something until it is done for good; what fails is told once, and done again."""
        is_told = False
        while True:
            try:
                if await step():
                    return
                is_told = False
            except (PenstockError, TimeoutError) as err:
                if not is_told:
                    _log.warning("rollout of '%s': %s: %s", spec.model, what, err or "no answer")
                is_told = True
            except Exception:  # noqa: BLE001  # a bug of ours must not end the asking
                if not is_told:
                    _log.exception("rollout of '%s': %s", spec.model, what)
                is_told = True
            await self._sources.sleep(spec.interval_s)

    async def _query(self, index: int, gate: PrometheusGate, spec: RolloutSpec) -> bool:
        """Ask a query once more, and count how often it said the same."""
        before = self.readings.get(index)
        try:
            sample = await self._sources.ask_prometheus(gate, spec)
        except Exception:
            self.readings.pop(index, None)  # what is not asked any more says nothing
            raise
        verdict = read_verdict(gate, sample.value)
        is_same = before is not None and read_verdict(gate, before.value) is verdict
        in_a_row = before.in_a_row + 1 if before is not None and is_same else 1
        self.readings[index] = Reading(sample.value, sample.why, in_a_row)
        return False

    async def _add_up(self, state: RolloutState, metric: str) -> bool:
        """Read what came of the predictions; a failure keeps what was read before."""
        if self._sources.outcomes is None or not state.outcome_stage:
            return True
        async with asyncio.timeout(_OUTCOMES_TIMEOUT_S):
            stage = state.outcome_stage
            found = await self._sources.outcomes.moments(state.spec.model, stage, metric)
        self.outcomes[metric] = found
        return False

    async def _check_golden(self, spec: RolloutSpec) -> bool:
        """Ask the golden requests; True: they are answered, rightly or wrongly."""
        client, read = self._sources.client, self._sources.read_request
        if client is None or read is None:
            return True
        differs, is_final = await ask_golden(client, read, spec)
        if is_final:
            self.golden = differs
        return is_final
