"""Length groups: which texts of a batch run together, so that little of it is padding. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_FREE_PAD_TOKENS = 8
_PAD_SHARE = 4


def group_by_length(lengths: Sequence[int], max_rows: int | None = None) -> list[list[int]]:
    """Split a batch into sub-batches of similar length.

    Laws: each index is in exactly one group; within a group no length exceeds the shortest by
    more than 8 tokens or a quarter of the shortest, whichever is more; no group has more than
    ``max_rows`` texts.

    Args:
        lengths: tokens of each text, >= 0.
        max_rows: texts that may run together, >= 1; None: any number.

    Returns:
        indices into ``lengths``, shortest texts first; nothing for an empty batch.
    """
    groups: list[list[int]] = []
    limit = -1
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not groups or lengths[index] > limit or len(groups[-1]) == max_rows:
            groups.append([])
            limit = lengths[index] + max(_FREE_PAD_TOKENS, lengths[index] // _PAD_SHARE)
        groups[-1].append(index)
    return groups
