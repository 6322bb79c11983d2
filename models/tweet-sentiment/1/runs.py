"""Cut a batch into runs of the network, so that little is computed for padding.

Pure, standard library only.
"""

from __future__ import annotations

RUN_COST = 4
"""What a run costs beside its pieces: as much as so many of them."""


def runs_of_like_length(lengths: list[int], max_rows: int) -> list[list[int]]:
    """Cut a batch into runs, shortest rows first: where the next longer row would have more
    padding computed for those before it than a run of its own costs, a new one begins.

    Args:
        lengths: pieces of each row.
        max_rows: of one run.

    Returns:
        indices into ``lengths``, each once.
    """
    runs: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        grows_by = lengths[row] - longest
        if not runs or len(runs[-1]) == max_rows or grows_by * len(runs[-1]) > RUN_COST:
            runs.append([])
        runs[-1].append(row)
        longest = lengths[row]
    return runs
