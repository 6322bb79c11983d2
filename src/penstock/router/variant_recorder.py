"""VariantRecorder: counts what one variant does within one stage, many answers at a time.

A request pays for two appends; every 512 of them are counted together, and whenever the counts
are asked for. Evidence: benchmarks/routing.py.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from penstock.core.errors import ErrorCode
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.router.counts import (
    LATENCY_BOUNDS_S,
    MAX_CLASSES,
    NUM_LATENCIES,
    OTHER,
    StageCounts,
    VariantCounts,
)
from penstock.router.predictions import (
    PredictionForm,
    count_classes,
    count_non_finite,
    gather,
    prediction_form,
)

_log = logging.getLogger("penstock.router")

REFUSED = frozenset(
    {
        ErrorCode.INVALID_ARGUMENT,
        ErrorCode.TOO_LARGE,
        ErrorCode.UNSUPPORTED,
        ErrorCode.UNSUPPORTED_ENCODING,
        ErrorCode.CANCELLED,
    }
)
"""The client's own faults. Everything else is the variant's: it was given a request that it could
have answered, and was too busy, too slow, not ready, or wrong.
"""

_MAX_WAITING = 512
_MAX_WAITING_BYTES = 256 * 1024
_BOUNDS_NS = np.array(LATENCY_BOUNDS_S) * 1e9


class ClassNames:
    """Which classes of a stage are counted by name: the first that any of its variants gave.

    All variants of a stage in one process share it, so that what becomes ``OTHER`` is the same
    for both sides of a comparison.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    def name(self, name: str) -> str:
        """The name that a class is counted under."""
        if name in self._known:
            return name
        if len(self._known) >= MAX_CLASSES:
            return OTHER
        self._known.add(name)
        return name


class VariantRecorder:
    """The running counts of one variant.

    Laws: answers that wait to be counted hold at most 256 KiB and one answer more; what cannot be
    counted, such as an array of objects, is counted as that, and nothing is raised.

    Args:
        names: of the classes of this stage; None: what the answers say is not counted.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, names: ClassNames | None) -> None:
        self._names = names
        self._num_answered = 0
        self._num_refused = 0
        self._codes: dict[str, int] = {}
        self._latency = np.zeros(NUM_LATENCIES, np.int64)
        self._predictions: Counter[str] = Counter()
        self._num_non_finite = 0
        self._num_uncounted = 0
        self._dice = np.random.default_rng()
        self._latencies_ns: list[int] = []
        self._answers: list[tuple[Tensor, ...]] = []
        self._held_bytes = 0
        self._signature: ModelSignature | None = None
        self._form: PredictionForm | None = None

    def answered(
        self, latency_ns: int, outputs: tuple[Tensor, ...], signature: ModelSignature
    ) -> None:
        """Count an answer.

        Args:
            latency_ns: from the request's arrival, in nanoseconds.
            outputs: the answer; held until it is counted.
            signature: of the version that gave it.
        """
        self._latencies_ns.append(latency_ns)
        if self._names is not None:
            self._keep(outputs, signature)
        if len(self._latencies_ns) >= _MAX_WAITING:
            self._count()

    def failed(self, code: str) -> None:
        """Count a request that ended in an error of this code."""
        if code in REFUSED:
            self.refused()
        else:
            self._codes[code] = self._codes.get(code, 0) + 1

    def refused(self) -> None:
        """Count a request that failed by its client's own fault."""
        self._num_refused += 1

    def counts(self) -> VariantCounts:
        """What was counted up to now; a copy."""
        self._count()
        errors = sum(self._codes.values())
        return VariantCounts(
            requests=self._num_answered + errors,
            errors=errors,
            codes=dict(self._codes),
            refused=self._num_refused,
            latency=self._latency.tolist(),
            predictions=dict(self._predictions),
            non_finite=self._num_non_finite,
            uncounted=self._num_uncounted,
        )

    def _keep(self, outputs: tuple[Tensor, ...], signature: ModelSignature) -> None:
        """Hold an answer until it is counted."""
        if signature is not self._signature:
            self._count_answers()
            self._signature, self._form = signature, prediction_form(signature)
        try:
            num_bytes = sum(tensor.num_bytes for tensor in outputs)
        except Exception as err:  # noqa: BLE001  # whatever a model puts into its answer
            self._skip(err)
            return
        self._answers.append(outputs)
        self._held_bytes += num_bytes
        if self._held_bytes > _MAX_WAITING_BYTES:
            self._count_answers()

    def _count(self) -> None:
        if self._latencies_ns:
            buckets = np.searchsorted(_BOUNDS_NS, self._latencies_ns)
            self._latency += np.bincount(buckets, minlength=NUM_LATENCIES)
            self._num_answered += len(self._latencies_ns)
            self._latencies_ns.clear()
        self._count_answers()

    def _count_answers(self) -> None:
        """Count what is held, and hold it no more; each by itself where that fails."""
        answers, self._answers, self._held_bytes = self._answers, [], 0
        if not answers or self._names is None or self._signature is None:
            return
        if self._try_to_count(answers, self._signature, self._names) is None:
            return
        for answer in answers:
            fault = self._try_to_count([answer], self._signature, self._names)
            if fault is not None:
                self._skip(fault)

    def _try_to_count(
        self, answers: Sequence[tuple[Tensor, ...]], signature: ModelSignature, names: ClassNames
    ) -> Exception | None:
        """Count all of some answers, or none: then why."""
        classes: Mapping[str, int] = {}
        try:
            gathered = gather(answers, batched=signature.batched)
            num_non_finite = count_non_finite(answers, gathered)
            if self._form is not None:
                classes = count_classes(self._form, gathered, self._dice)
        except Exception as err:  # noqa: BLE001  # whatever a model puts into its answers
            return err
        self._num_non_finite += num_non_finite
        for name, count in classes.items():
            self._predictions[names.name(name)] += count
        return None

    def _skip(self, err: Exception) -> None:
        if not self._num_uncounted:
            _log.warning(
                "what an answer says cannot be counted, further ones are only counted as that: %r",
                err,
            )
        self._num_uncounted += 1


class StageRecorder:
    """The recorders of one model within one stage.

    Attributes:
        stage: the route's.
        num_unkeyed: requests that had no routing key where the route wants one.

    A stage without a name has nobody who decides on it: what its answers say is not counted.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.num_unkeyed = 0
        self._names = ClassNames() if stage else None
        self._variants: dict[str, VariantRecorder] = {}

    def variant(self, name: str) -> VariantRecorder:
        """The recorder of a variant; a new one where the stage has not seen it."""
        recorder = self._variants.get(name)
        if recorder is None:
            recorder = self._variants[name] = VariantRecorder(self._names)
        return recorder

    def counts(self) -> StageCounts:
        """What was counted up to now; a copy."""
        variants: Mapping[str, VariantRecorder] = self._variants
        return StageCounts(
            stage=self.stage,
            variants={name: variants[name].counts() for name in sorted(variants)},
            unkeyed=self.num_unkeyed,
        )
