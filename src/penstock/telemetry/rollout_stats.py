"""RolloutStats: what became of rollouts, as far as this process knows or has decided it."""

from __future__ import annotations

from penstock.telemetry.stats import LATENCY_BOUNDS_NS, Histogram


class RolloutStats:
    """The running numbers of all rollouts. Owned by the event loop's thread.

    Attributes:
        phases: where each model's rollout is, by model; every process knows it.
        weights: the candidate's share of the requests, in percent, by model; every process
            knows it.
        rollbacks: rollouts that were rolled back, by model; each is counted by one process.
        decisions: changes that the controller of this process has decided, by (model, phase).
        effect_ns: from a decision until it held in every process, by model.
        undelivered: events that a webhook did not take, by model.
        stalled: models for which this process should decide and cannot, and why.
        disagreement: share of a shadow's rows that differ, by model; where this process decides.
        sample_ratio: how likely the requests of each variant are what the weights say (the
            p-value), by model; where this process decides.
    """

    def __init__(self) -> None:
        self.phases: dict[str, str] = {}
        self.weights: dict[str, float] = {}
        self.rollbacks: dict[str, int] = {}
        self.decisions: dict[tuple[str, str], int] = {}
        self.effect_ns: dict[str, Histogram] = {}
        self.undelivered: dict[str, int] = {}
        self.stalled: dict[str, str] = {}
        self.disagreement: dict[str, float] = {}
        self.sample_ratio: dict[str, float] = {}

    def rolled_back(self, model: str) -> None:
        """Count one rollout that was rolled back."""
        self.rollbacks[model] = self.rollbacks.get(model, 0) + 1

    def decided(self, model: str, phase: str) -> None:
        """Count one decision."""
        self.decisions[model, phase] = self.decisions.get((model, phase), 0) + 1

    def took_effect(self, model: str, duration_ns: int) -> None:
        """Note how long a decision took to hold everywhere, in nanoseconds."""
        found = self.effect_ns.setdefault(model, Histogram(LATENCY_BOUNDS_NS))
        found.observe(duration_ns)

    def dropped(self, model: str, count: int) -> None:
        """Count events that a webhook did not take."""
        if count:
            self.undelivered[model] = self.undelivered.get(model, 0) + count

    def forget_counts(self, model: str) -> None:
        """This process decides for a model no longer: another one has the numbers."""
        self.disagreement.pop(model, None)
        self.sample_ratio.pop(model, None)
