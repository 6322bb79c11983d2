"""Which waiting requests make the next batch. A pure function of the queue and the time.

Executor-gated: it is asked only while an instance is idle. With ``max_queue_delay_s`` 0 the
answer is never "wait": an idle instance takes what is there, and while it is busy the batch grows
(docs/decisions/0003-executor-gated-batching.md).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import msgspec

from penstock.repository.manifest import Batching


class Candidate(msgspec.Struct, frozen=True):
    """One waiting request as the policy sees it.

    Attributes:
        rows: rows it brings, >= 0.
        key: requests merge only with the same key; None: never with another.
        length: size of its padded axis; the same for all where nothing is padded.
        arrived_ns: when it began to wait.
    """

    rows: int
    key: Hashable
    length: int
    arrived_ns: int


class Dispatch(msgspec.Struct, frozen=True):
    """Run these now: indices into the queue, ascending, never empty."""

    indices: tuple[int, ...]


class WaitUntil(msgspec.Struct, frozen=True):
    """Ask again at this monotonic instant, or when another request came."""

    at_ns: int


def choose_batch(
    waiting: Sequence[Candidate], now_ns: int, max_rows: int, options: Batching
) -> Dispatch | WaitUntil:
    """Choose the next batch.

    Law: the oldest request is always in it, so none starves; the rows never exceed ``max_rows``
    unless the oldest request alone does; all share its key, and no length differs from its own
    by more than ``pad.bucket_width``. The nearest lengths come first, the older of equals.

    Args:
        waiting: the queue in order, not empty.
        now_ns: monotonic time.
        max_rows: the most rows of one execution; 0: requests never merge.
        options: the model's batching options.
    """
    head = waiting[0]
    if head.key is None or max_rows <= 1 or len(waiting) == 1:
        return _wait_or((0,), head.rows, head, now_ns, max_rows, options)
    indices, rows = [0], head.rows
    for index in _fitting(waiting, head, options):
        other = waiting[index]
        if rows + other.rows <= max_rows:
            indices.append(index)
            rows += other.rows
            if rows == max_rows:
                break
    return _wait_or(tuple(sorted(indices)), rows, head, now_ns, max_rows, options, waiting)


def _fitting(waiting: Sequence[Candidate], head: Candidate, options: Batching) -> Iterable[int]:
    """Who may share a batch with the oldest request, in the order in which they are asked."""
    alike = (i for i in range(1, len(waiting)) if waiting[i].key == head.key)
    if options.pad is None:
        return alike
    distances = [(abs(waiting[i].length - head.length), i) for i in alike]
    return [i for distance, i in sorted(distances) if distance <= options.pad.bucket_width]


def _wait_or(
    indices: tuple[int, ...],
    rows: int,
    head: Candidate,
    now_ns: int,
    max_rows: int,
    options: Batching,
    waiting: Sequence[Candidate] = (),
) -> Dispatch | WaitUntil:
    if rows >= max_rows or head.key is None:
        return Dispatch(indices)
    preferred = max((s for s in options.preferred_batch_sizes if s <= rows), default=0)
    if preferred:
        return Dispatch(_trim(indices, waiting, preferred))
    due_ns = head.arrived_ns + int(options.max_queue_delay_s * 1e9)
    return Dispatch(indices) if now_ns >= due_ns else WaitUntil(due_ns)


def _trim(indices: tuple[int, ...], waiting: Sequence[Candidate], max_rows: int) -> tuple[int, ...]:
    kept: list[int] = []
    rows = 0
    for index in indices:
        size = waiting[index].rows if waiting else 0
        if kept and rows + size > max_rows:
            break
        kept.append(index)
        rows += size
    return tuple(kept)
