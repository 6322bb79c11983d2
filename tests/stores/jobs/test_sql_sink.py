"""SqlSink on PostgreSQL, MariaDB, SQLite and DuckDB."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.core.errors import ConfigError, JobOutputError
from penstock.jobs.batch.sink import BatchSink, Receipt
from penstock.jobs.batch.sinks.open_tables import open_table_sink
from penstock.jobs.batch.spec_tables import DuckDbOutput, SqlOutput
from tests.stores.jobs.places import OTHER, SPLIT, Place, put

ROWS = [{"id": i, "label": f"label {i}", "score": i / 4} for i in range(20)]


@pytest.fixture
def sink(place: Place) -> Iterator[BatchSink]:
    opened = open_sink(place)
    yield opened
    opened.close()


def open_sink(place: Place, table: str = "output", key: tuple[str, ...] = ("id",)) -> BatchSink:
    return open_table_sink(SqlOutput(url=place.url, table=table, key=key))


def kept(place: Place, what: str = "*", table: str = "output") -> list[tuple[Any, ...]]:
    return place.run(f"SELECT {what} FROM {table} ORDER BY id")


def test_a_table_is_made_and_filled(place: Place, sink: BatchSink) -> None:
    sink.begin()
    receipt = put(sink, SPLIT, ROWS)
    sink.finish(b"{}")

    assert receipt == Receipt(20)
    assert sink.holds(SPLIT, receipt)
    assert not sink.holds(SPLIT, Receipt(19))
    assert not sink.holds(OTHER, receipt)
    sink.close()
    assert kept(place) == [(row["id"], row["label"], row["score"]) for row in ROWS]
    assert len(place.run("SELECT split FROM penstock_parts")) == 2


def test_nothing_shows_before_the_commit_nor_after_an_abort(place: Place, sink: BatchSink) -> None:
    batch = pa.RecordBatch.from_pylist(ROWS)
    writer = sink.open(SPLIT, batch.schema)
    writer.write(batch)
    other = sink.open(OTHER, batch.schema)  # the table is there, and nobody waits
    other.write(batch.slice(0, 1))
    other.commit()

    writer.abort()

    assert not sink.holds(SPLIT, Receipt(20))
    assert sink.holds(OTHER, Receipt(1))
    sink.close()
    assert kept(place, "id") == [(0,)]


def test_a_split_written_again_changes_nothing(place: Place, sink: BatchSink) -> None:
    put(sink, SPLIT, ROWS)
    again = put(sink, SPLIT, ROWS)

    assert sink.holds(SPLIT, again)
    sink.close()
    assert kept(place, "id") == [(i,) for i in range(20)]
    assert place.run("SELECT split, num_rows FROM penstock_parts") == [(SPLIT, 20)]


def test_rows_are_replaced_by_key_and_the_last_of_a_split_wins(
    place: Place, sink: BatchSink
) -> None:
    put(sink, SPLIT, ROWS)
    put(sink, OTHER, [{"id": 7, "label": f"new {i}", "score": -float(i)} for i in range(9)])
    put(
        sink,
        OTHER,
        [{"id": 99, "label": "b", "score": 0.0}, {"id": 98, "label": "a", "score": 1.0}],
    )

    sink.close()
    rows = kept(place)
    assert len(rows) == 22
    assert rows[7] == (7, "new 8", -8.0)
    assert rows[20:] == [(98, "a", 1.0), (99, "b", 0.0)]


def test_keys_of_text_of_several_columns(place: Place) -> None:
    sink = open_sink(place, key=("name", "id"))
    names = ["a", "A", "ß", "日本", "it's", "back\\slash", "😀", "a "]
    put(sink, SPLIT, [{"name": name, "id": i} for name in names for i in (1, 2)] * 2)
    sink.close()

    rows = place.run("SELECT name, id FROM output")
    assert sorted(rows) == sorted((name, i) for name in names for i in (1, 2))


def test_one_column_that_is_the_key(place: Place, sink: BatchSink) -> None:
    put(sink, SPLIT, [{"id": 1}, {"id": 1}, {"id": 2}])
    sink.close()
    assert kept(place) == [(1,), (2,)]


def test_a_split_without_rows_is_noted(place: Place, sink: BatchSink) -> None:
    receipt = put(sink, SPLIT, pa.RecordBatch.from_pylist(ROWS).slice(0, 0))
    assert receipt == Receipt(0)
    assert sink.holds(SPLIT, receipt)


def test_values_have_a_stated_form(place: Place, sink: BatchSink) -> None:
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    batch = pa.RecordBatch.from_pydict(
        {
            "id": pa.array([1, 2], pa.uint32()),
            "text": ["ß😀 'q' \\ \"d\" %s", None],
            "price": pa.array([Decimal("12345678901234567890.0123456789"), None]),
            "at": pa.array(
                [dt.datetime(2026, 3, 29, 2, 30, tzinfo=zone), None], pa.timestamp("ns", "UTC")
            ),
            "day": pa.array([dt.date(2026, 2, 28), None]),
            "scores": pa.FixedSizeListArray.from_arrays(
                pa.array(np.arange(4, dtype=np.float32) / 2), 2
            ),
            "small": pa.array([1, None], pa.uint8()),
            "half": pa.array(np.array([0.5, np.inf], np.float16)),
            "kind": pa.array(["x", "x"]).dictionary_encode(),
            "raw": pa.array([b"\x00\xff'", None]),
            "ok": [True, None],
            "big": pa.array([2**64 - 1, None], pa.uint64()),
            "nested": [{"k": [1, 2]}, None],
        }
    )
    put(sink, SPLIT, batch)
    sink.close()

    first, second = kept(place)
    names = dict(zip(batch.schema.names, first, strict=True))
    assert names["text"] == "ß😀 'q' \\ \"d\" %s"
    assert str(names["price"]) == "12345678901234567890.0123456789"
    assert str(names["at"]).startswith("2026-03-28 21:00:00")
    assert str(names["day"]) == "2026-02-28"
    scores = names["scores"]
    assert scores == [0.0, 0.5] if place.kind in ("postgres", "duckdb") else scores == "[0.0,0.5]"
    assert (names["small"], names["half"], names["kind"]) == (1, 0.5, "x")
    assert (names["raw"], bool(names["ok"])) == (b"\x00\xff'", True)
    assert str(names["big"]) == str(2**64 - 1)
    assert names["nested"] == '{"k":[1,2]}'
    assert second[7] == (None if place.kind == "mariadb" else np.inf)
    assert second[2] is second[3] is second[9] is None


def test_a_table_that_is_there_keeps_its_types(place: Place, sink: BatchSink) -> None:
    place.run(
        "CREATE TABLE output (score REAL, label VARCHAR(20), id BIGINT PRIMARY KEY,"
        " more INTEGER DEFAULT 5)"
    )
    put(sink, SPLIT, ROWS[:2])
    sink.close()
    assert kept(place) == [(0.0, "label 0", 0, 5), (0.25, "label 1", 1, 5)]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ("id BIGINT PRIMARY KEY, label VARCHAR(9)", "no column 'score'"),
        ("id BIGINT, label VARCHAR(9), score REAL", "primary key or a unique one"),
        ("id BIGINT, label VARCHAR(9), score REAL, UNIQUE (id, label)", "primary key or a unique"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    place: Place, sink: BatchSink, columns: str, text: str
) -> None:
    place.run(f"CREATE TABLE output ({columns})")

    with pytest.raises(JobOutputError, match=text) as caught:
        sink.open(SPLIT, pa.RecordBatch.from_pylist(ROWS).schema)
    assert not caught.value.retryable


def test_a_split_that_fails_at_its_last_row_leaves_nothing(place: Place, sink: BatchSink) -> None:
    place.run(
        "CREATE TABLE output (id BIGINT PRIMARY KEY, label VARCHAR(20), score REAL,"
        " CHECK (score < 4.7))"
    )
    place.run("INSERT INTO output VALUES (0, 'old', 0)")

    with pytest.raises(JobOutputError) as caught:
        put(sink, SPLIT, ROWS)

    assert not caught.value.retryable
    assert not sink.holds(SPLIT, Receipt(20))
    sink.close()
    assert kept(place) == [(0, "old", 0.0)]


def test_a_split_that_cannot_be_noted_is_not_there(place: Place, sink: BatchSink) -> None:
    batch = pa.RecordBatch.from_pylist(ROWS)
    writer = sink.open(SPLIT, batch.schema)
    writer.write(batch)
    place.run("DROP TABLE penstock_parts")

    with pytest.raises(JobOutputError, match="penstock_parts"):
        writer.commit()

    sink.close()
    assert kept(place) == []


def test_null_keys_are_refused(place: Place, sink: BatchSink) -> None:
    rows = [*ROWS[:3], {"id": None, "label": "x", "score": 0.0}]

    with pytest.raises(JobOutputError, match="'id' is null in row 3 of the split"):
        put(sink, SPLIT, rows)
    assert not sink.holds(SPLIT, Receipt(4))


def test_the_key_has_to_be_written(sink: BatchSink) -> None:
    with pytest.raises(ConfigError, match=r"no column 'id'.*name it in 'keep'"):
        sink.open(SPLIT, pa.schema([("label", pa.string())]))


def test_a_table_that_was_dropped_holds_nothing(place: Place, sink: BatchSink) -> None:
    receipt = put(sink, SPLIT, ROWS)
    other = put(sink, OTHER, ROWS)
    sink.close()
    place.run("DROP TABLE output")

    assert not sink.holds(SPLIT, receipt)
    later = open_sink(place)
    put(later, OTHER, ROWS)  # makes it again
    assert not later.holds(SPLIT, receipt)
    assert later.holds(OTHER, other)
    later.close()


def test_the_mark_of_a_whole_output(place: Place, sink: BatchSink) -> None:
    sink.begin()
    sink.finish('{"rows": "ß\'"}'.encode())
    sink.close()
    query = "SELECT summary FROM penstock_parts WHERE split = '_SUCCESS'"
    assert place.run(query) == [('{"rows": "ß\'"}',)]

    sink.begin()
    sink.close()
    assert place.run(query) == []


def test_splits_with_the_same_keys_at_once(place: Place, sink: BatchSink) -> None:
    ids = list(range(300))
    failed: list[BaseException] = []

    def write(number: int) -> None:
        order = ids if number % 2 else ids[::-1]
        rows = [{"id": i, "label": f"{number}", "score": 0.0} for i in order]
        for attempt in range(20):
            try:
                put(sink, f"{number:024d}", rows)
                return
            except JobOutputError as err:  # a deadlock may be told; then it is tried again
                if not err.retryable or attempt == 19:
                    failed.append(err)
                    return

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert all(sink.holds(f"{number:024d}", Receipt(300)) for number in range(4))
    sink.close()
    rows = kept(place)
    assert len(rows) == 300
    assert len({row[1] for row in rows}) == 1  # of one split, whole


def test_huge_values(place: Place, sink: BatchSink) -> None:
    text = "x" * 2_000_000
    put(sink, SPLIT, [{"id": 1, "label": text}, {"id": 2, "label": "small"}])
    sink.close()
    assert kept(place, "id, length(label)") == [(1, 2_000_000), (2, 5)]


def test_a_value_larger_than_mariadb_takes(shared_mariadb: Any) -> None:
    from tests.stores.jobs.places import empty_mariadb

    sink = open_sink(empty_mariadb(shared_mariadb))
    with pytest.raises(JobOutputError, match="max_allowed_packet") as caught:
        put(sink, SPLIT, [{"id": 1, "label": "x" * 5_000_000}, {"id": 2, "label": ""}])
    assert not caught.value.retryable
    sink.close()


def test_duckdb_by_its_own_format(tmp_path: Any) -> None:
    path = str(tmp_path / "out.duckdb")
    sink = open_table_sink(DuckDbOutput(path=path, table="scores", key=("id",)))
    put(sink, SPLIT, ROWS)
    sink.close()
    assert len(kept(Place("duckdb", f"duckdb:///{path}"), table="scores")) == 20
