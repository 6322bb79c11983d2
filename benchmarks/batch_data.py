"""The rows of the batch benchmark, made the same each time, as Parquet files in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.tweet_texts import distinct, load_tweets

FILES = 8
FEATURES = 20
_AT_ONCE = 1_000_000


def make_tweets(folder: Path, rows: int) -> None:
    """Write `rows` texts, all different, as columns `id` INT64 and `text`, in 8 files."""
    texts = load_tweets()
    for path, first, count in _files(folder, rows):
        columns = {
            "id": pa.array(np.arange(first, first + count)),
            "text": pa.array(distinct(texts, count, first)),
        }
        pq.write_table(pa.table(columns), path, row_group_size=_group(rows))


def make_tabular(folder: Path, rows: int) -> None:
    """Write `rows` rows of 20 random FP32 columns `f0`... beside `id` INT64, in 8 files."""
    schema = pa.schema([("id", pa.int64()), *((f"f{at}", pa.float32()) for at in range(FEATURES))])
    for path, first, count in _files(folder, rows):
        random = np.random.default_rng(first)
        with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
            for start in range(first, first + count, _AT_ONCE):
                size = min(_AT_ONCE, first + count - start)
                numbers = random.normal(0, 2, (FEATURES, size)).astype(np.float32)
                ids = pa.array(np.arange(start, start + size))
                table = pa.table([ids, *map(pa.array, numbers)], schema=schema)
                writer.write_table(table, row_group_size=_group(rows))


def _files(folder: Path, rows: int) -> Iterator[tuple[Path, int, int]]:
    """Each file, its first row and how many it has."""
    folder.mkdir(parents=True)
    for number in range(FILES):
        first, stop = rows * number // FILES, rows * (number + 1) // FILES
        if first < stop:
            yield folder / f"rows-{number}.parquet", first, stop - first


def _group(rows: int) -> int:
    """How many rows a row group has: of few rows, several to a file."""
    return min(100_000, max(256, rows // (4 * FILES)))


MAKERS = {"tweets": make_tweets, "tabular": make_tabular}
