"""Pick the next batch from the queue: what the policy chooses, of as much as it should look at."""

from __future__ import annotations

from itertools import islice

from penstock.repository.manifest import Batching
from penstock.scheduler.batch_policy import Candidate, WaitUntil, choose_batch
from penstock.scheduler.request_queue import RequestQueue, Waiting

_WINDOW = 4
_MIN_WINDOW = 32
"""How far into the queue a batch is looked for: so many batches, at least so many requests."""


def pick(
    queue: RequestQueue, now_ns: int, max_rows: int, options: Batching
) -> list[Waiting] | WaitUntil:
    """The requests to run together now, still in the queue; or when to ask again.

    Args:
        queue: what waits, not empty.
        now_ns: monotonic time.
        max_rows: the most rows of one execution; 0: requests never merge.
        options: the model's batching options.
    """
    size = max(_MIN_WINDOW, max_rows * _WINDOW) if max_rows > 1 else 1
    window = list(islice(queue, size))
    candidates = [Candidate(w.rows, w.key, w.length, w.arrived_ns) for w in window]
    choice = choose_batch(candidates, now_ns, max_rows, options)
    if isinstance(choice, WaitUntil):
        return choice
    return [window[index] for index in choice.indices]
