"""Requests of two versions that are made up: what would be counted of them, second by second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock.rollout.plan import CANDIDATE, REFERENCE
from penstock.router.counts import LATENCY_BOUNDS_S, StageCounts, VariantCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSES = ("negative", "neutral", "positive")


@dataclass(frozen=True)
class Version:
    """How a version answers: log-normal latencies, classes with these chances."""

    error_ratio: float = 0.001
    median_s: float = 0.010
    deviation: float = 0.5
    classes: Sequence[float] = (0.3, 0.2, 0.5)

    def latency_chances(self) -> np.ndarray:
        """Return the chance of each bucket of latency."""
        points = np.log(np.array(LATENCY_BOUNDS_S) / self.median_s) / self.deviation / math.sqrt(2)
        below = [0.0, *(math.erfc(-point) / 2 for point in points), 1.0]
        return np.diff(below)


class Traffic:
    """Independent requests, `rps` a second in the mean, dealt out by weight."""

    def __init__(self, reference: Version, candidate: Version, rps: float, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._rps = rps
        self._of = {
            name: (version, version.latency_chances())
            for name, version in ((REFERENCE, reference), (CANDIDATE, candidate))
        }
        self._begin("")

    def _begin(self, stage: str) -> None:
        self._stage = stage
        self.requests = dict.fromkeys(self._of, 0)
        self._errors = dict.fromkeys(self._of, 0)
        self._latency = {name: np.zeros(len(of[1]), int) for name, of in self._of.items()}
        self._classes = {name: np.zeros(len(CLASSES), int) for name in self._of}

    def second(self, stage: str, weight_percent: float) -> StageCounts:
        """Return all that is counted within `stage` after a second more of requests."""
        if stage != self._stage:
            self._begin(stage)
        total = int(self._rng.poisson(self._rps))
        new = int(self._rng.binomial(total, weight_percent / 100))
        self._answer(CANDIDATE, new)
        self._answer(REFERENCE, total - new)
        return StageCounts(stage, {name: self._counted(name) for name in self._of})

    def _answer(self, name: str, requests: int) -> None:
        version, chances = self._of[name]
        errors = int(self._rng.binomial(requests, version.error_ratio))
        self.requests[name] += requests
        self._errors[name] += errors
        self._latency[name] += self._rng.multinomial(requests - errors, chances)
        self._classes[name] += self._rng.multinomial(requests - errors, version.classes)

    def _counted(self, name: str) -> VariantCounts:
        return VariantCounts(
            requests=self.requests[name],
            errors=self._errors[name],
            latency=self._latency[name].tolist(),
            predictions=dict(zip(CLASSES, self._classes[name].tolist(), strict=True)),
        )
