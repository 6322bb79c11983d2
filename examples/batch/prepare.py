"""What the job of ``tweets.yaml`` does to its rows before they are predicted."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def prepare(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Add the day a tweet is of."""
    day = pc.utf8_slice_codeunits(pc.cast(batch["createdAt"], pa.string()), 0, 10)
    return batch.append_column("day", day)
