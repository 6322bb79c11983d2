"""ShadowBook: counts what came of one shadow's copies within one stage."""

from __future__ import annotations

from bisect import bisect_left, insort

import msgspec
import numpy as np

from penstock.core.tensor import Tensor
from penstock.router.compare_rows import Compared
from penstock.router.counts import LATENCY_BOUNDS_S, MAX_EXAMPLES, Example, PairCounts
from penstock.router.shadow_copy import ShadowCopy
from penstock.router.shadow_text import tensors_text


class ShadowBook:
    """The running counts, which ``counts`` copies.

    Attributes:
        running: what was counted so far.
    """

    def __init__(self) -> None:
        self.running = PairCounts()

    def counts(self) -> PairCounts:
        """The counts now, the caller's own."""
        now = self.running
        return msgspec.structs.replace(now, latency=list(now.latency), examples=list(now.examples))

    def answered(self, took_s: float) -> None:
        """Count a copy that the shadow has answered."""
        self.running.latency[bisect_left(LATENCY_BOUNDS_S, took_s)] += 1

    def compared(
        self, copy: ShadowCopy, answers: tuple[Tensor, Tensor], found: Compared, at_ms: int
    ) -> None:
        """Count a copy by the rows of its two answers.

        Args:
            copy: the request.
            answers: the output that was compared: the primary's, and the shadow's.
            found: what came of it.
            at_ms: now, in milliseconds since 1970.
        """
        running, differences = self.running, found.differences
        rows = len(differences)
        if not rows:
            running.incomparable += 1
            return
        running.pairs += 1
        agreed = int(np.count_nonzero(found.agrees))
        running.agreed += agreed / rows
        if total := float(differences.sum()):
            running.difference_sum += total / rows
            running.difference_squares += float(np.dot(differences, differences)) / rows
        if agreed < rows:
            self._keep_example(copy, answers, found, at_ms)

    def _keep_example(
        self, copy: ShadowCopy, answers: tuple[Tensor, Tensor], found: Compared, at_ms: int
    ) -> None:
        """The row that differs most, if it is among the ``MAX_EXAMPLES`` that differ most."""
        rows = len(found.differences)
        row = int(np.where(found.agrees, -1.0, found.differences).argmax())
        difference, examples = float(found.differences[row]), self.running.examples
        if len(examples) == MAX_EXAMPLES:
            if difference <= examples[-1].difference:
                return
            examples.pop()
        primary, shadow = ((one,) for one in answers)
        example = Example(
            difference,
            copy.id,
            at_ms,
            tensors_text(copy.inputs, row, rows),
            tensors_text(primary, row, rows),
            tensors_text(shadow, row, rows),
        )
        insort(examples, example, key=lambda each: -each.difference)
