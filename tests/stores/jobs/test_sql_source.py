"""SqlSource on PostgreSQL, MariaDB, SQLite and DuckDB."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from penstock.core.errors import ConfigError, JobInputError
from tests.stores.jobs.mariadb_server import MariaDbServer
from tests.stores.jobs.places import MANY, Place, empty_mariadb, empty_postgres, rows_of
from tests.stores.postgres_server import PostgresServer


def test_each_row_is_in_one_split_in_order(place: Place) -> None:
    ids = [*range(-7, 30), *range(1000, 1040, 3), 2**62]
    place.numbers(ids)

    splits = rows_of(place.source(table="input"))

    assert [len(split) for split in splits] == [10] * (len(ids) // 10) + [len(ids) % 10]
    rows = [row for split in splits for row in split]
    assert rows == [{"id": i, "body": f"text {i}", "half": i / 2} for i in ids]


def test_pieces_keep_to_the_limits_and_count_on(place: Place) -> None:
    place.numbers(range(100))
    source = place.source(50, table="input")
    first, second = source.plan()

    by_rows = list(source.read(second, 20, MANY))
    by_bytes = list(source.read(first, MANY, 200))

    assert [(piece.first_row, piece.num_rows) for piece in by_rows] == [(0, 20), (20, 20), (40, 10)]
    assert all(piece.num_rows < 20 for piece in by_bytes)
    assert [row["id"] for piece in by_bytes for row in piece.batch.to_pylist()] == list(range(50))


def test_the_plan_is_the_same_until_the_rows_change(place: Place) -> None:
    place.numbers(range(25))
    source = place.source(table="input")
    planned = list(source.plan())
    assert list(place.source(table="input").plan()) == planned
    source.close()

    place.run("INSERT INTO input VALUES (25, 'more', 0)")
    again = list(place.source(table="input").plan())

    assert again[:2] == planned[:2]
    assert again[2] != planned[2]


def test_rows_behind_the_last_key_are_further_splits(place: Place, tmp_path: Path) -> None:
    place.numbers(range(25))
    source = place.source(state=tmp_path, table="input")
    planned = list(source.plan())
    source.close()
    place.run("INSERT INTO input VALUES (25, 'more', 0), (30, 'more', 0)")

    again = list(place.source(state=tmp_path, table="input").plan())
    another = list(place.source(7, state=tmp_path, table="input").plan())

    assert again[:3] == planned
    assert [(split.start, split.stop) for split in again[3:]] == [(25, 31)]
    assert [split.start for split in another] == [0, 7, 14, 21]


def test_rows_before_the_first_key_are_further_splits(place: Place, tmp_path: Path) -> None:
    place.numbers(range(25))
    source = place.source(state=tmp_path, table="input")
    planned = list(source.plan())
    source.close()
    earlier = ", ".join(f"({number}, 'earlier', 0)" for number in range(-12, 0))
    place.run(f"INSERT INTO input VALUES {earlier}, (-40, 'earlier', 0)")

    again = place.source(state=tmp_path, table="input")
    once = list(again.plan())

    assert once[2:] == planned
    assert [(split.start, split.stop) for split in once[:2]] == [(-40, -3), (-3, 0)]
    assert list(again.plan()) == once
    assert sum(read.num_rows for split in once[:2] for read in again.read(split, 100, MANY)) == 13


def test_an_update_is_seen_by_the_version_column_alone(place: Place) -> None:
    place.numbers(range(25))
    blind = list(place.source(table="input").plan())
    seeing = list(place.source(table="input", version="half").plan())

    place.run("UPDATE input SET half = 99 WHERE id = 12")

    assert list(place.source(table="input").plan()) == blind
    after = list(place.source(table="input", version="half").plan())
    assert [one == other for one, other in zip(seeing, after, strict=True)] == [True, False, True]


def test_rows_that_come_meanwhile_belong_to_the_next_run(place: Place) -> None:
    place.numbers(range(15))
    source = place.source(table="input")
    *_, last = source.plan()
    source.close()
    place.run("INSERT INTO input VALUES (15, 'late', 0)")

    (piece,) = source.read(last, MANY, MANY)

    assert piece.batch.column("id").to_pylist() == [10, 11, 12, 13, 14]


def test_a_split_that_lost_rows_is_refused(place: Place) -> None:
    place.numbers(range(15))
    source = place.source(table="input")
    first, _ = source.plan()
    source.close()
    place.run("DELETE FROM input WHERE id = 3")

    with pytest.raises(JobInputError, match="10 rows were planned, 9 are there") as caught:
        list(source.read(first, MANY, MANY))
    assert not caught.value.retryable


def test_text_keys_of_any_letters(place: Place) -> None:
    keys = [
        "it's",
        'say "so"',
        "back\\slash",
        "naïve",
        "日本",
        "😀",
        "100%",
        "a%sb",
        "",
        " ",
        "Z",
        "z",
    ]
    values = ", ".join(_literal(place, key) for key in keys)
    exact = " CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin" if place.kind == "mariadb" else ""
    place.run(f"CREATE TABLE words (word VARCHAR(50){exact} PRIMARY KEY)")
    place.run("INSERT INTO words VALUES " + ", ".join(f"({v})" for v in values.split(", ")))

    splits = rows_of(place.source(5, table="words", key="word"))

    found = [row["word"] for split in splits for row in split]
    assert sorted(found) == sorted(keys)
    assert [len(split) for split in splits] == [5, 5, 2]


def test_timestamp_keys_with_ties_need_an_order(place: Place) -> None:
    kind = {"mariadb": "DATETIME(6)", "sqlite": "TEXT"}.get(place.kind, "TIMESTAMP")
    place.run(f"CREATE TABLE events (moment {kind}, id INTEGER)")
    start = dt.datetime(2026, 1, 31, 23, 59, 59, 999998)  # noqa: DTZ001
    rows = [(start + dt.timedelta(microseconds=i // 3), i) for i in range(30)]
    place.run("INSERT INTO events VALUES " + ", ".join(f"('{at}', {i})" for at, i in rows))

    with pytest.raises(JobInputError, match="name columns in 'order'"):
        rows_of(place.source(table="events", key="moment"))
    splits = rows_of(place.source(table="events", key="moment", order=("id",)))

    assert [row["id"] for split in splits for row in split] == list(range(30))
    assert [len(split) for split in splits] == [12, 12, 6]


def test_ties_are_seen_wherever_they_come(tmp_path: Path) -> None:
    place = Place("sqlite", f"sqlite:///{tmp_path}/a.db")
    place.run("CREATE TABLE input (id INTEGER)")
    ids = sorted([*range(5000), 4095])  # rows are fetched 4096 at a time
    place.run("INSERT INTO input VALUES " + ", ".join(f"({i})" for i in ids))

    with pytest.raises(JobInputError, match=r"two rows have \{'id': 4095\}"):
        rows_of(place.source(MANY, table="input"))


def test_a_query_is_read_as_a_table(place: Place) -> None:
    place.numbers(range(30))
    query = "SELECT id, half * 2 AS whole FROM input WHERE id >= 5 -- of those\n;"

    splits = rows_of(place.source(query=query))

    assert [row for split in splits for row in split] == [
        {"id": i, "whole": float(i)} for i in range(5, 30)
    ]


def test_only_some_columns(place: Place) -> None:
    place.numbers(range(12))
    source = place.source(table="input")
    narrow = source.only({"half", "body"})

    assert narrow.schema().names == ["body", "half"]
    assert list(narrow.plan()) == list(source.plan())
    assert rows_of(narrow)[1] == [
        {"body": "text 10", "half": 5.0},
        {"body": "text 11", "half": 5.5},
    ]
    with pytest.raises(JobInputError, match="no column 'nope'"):
        source.only({"nope"})
    with pytest.raises(ConfigError, match="no column is asked for"):
        source.only(())


def test_an_empty_table_has_no_splits(place: Place) -> None:
    place.run("CREATE TABLE input (id INTEGER PRIMARY KEY, x DOUBLE PRECISION)")

    assert list(place.source(table="input").plan()) == []
    assert place.source(table="input").schema().names == ["id", "x"]


def test_null_keys_are_refused(place: Place) -> None:
    place.run("CREATE TABLE input (id INTEGER)", "INSERT INTO input VALUES (1), (NULL)")

    with pytest.raises(JobInputError, match=r"'id' is null in some rows.*WHERE id IS NOT NULL"):
        list(place.source(table="input").plan())


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"table": "nowhere"}, "nowhere"),
        ({"query": "SELECT FROM WHERE"}, "WHERE|syntax"),
        ({"query": "SELECT id FROM input WHERE nope = 1"}, "nope"),
        ({"table": "input", "key": "nope"}, "no column 'nope'"),
        ({"table": "input", "key": "half"}, "expected a column of whole numbers, text"),
    ],
)
def test_what_cannot_be_read_says_why(place: Place, fields: dict[str, Any], text: str) -> None:
    place.numbers(range(3))

    with pytest.raises(JobInputError, match=text) as caught:
        list(place.source(**fields).plan())
    assert not caught.value.retryable
    assert "s3cr3t" not in str(caught.value)


def test_two_columns_of_one_name_are_refused(server_place: Place) -> None:
    server_place.numbers(range(3))
    with pytest.raises(JobInputError, match=r"'a' comes twice|Duplicate column name 'a'"):
        server_place.source(query="SELECT id AS a, half AS a FROM input", key="a").schema()


def test_huge_values_come_one_at_a_time(place: Place) -> None:
    kind = "LONGTEXT" if place.kind == "mariadb" else "TEXT"
    place.run(f"CREATE TABLE input (id INTEGER PRIMARY KEY, body {kind})")
    for i in range(4):
        letter = chr(ord("a") + i)
        body = f"repeat('{letter}', 3000000)"
        if place.kind == "sqlite":
            body = f"replace(hex(zeroblob(1500000)), '0', '{letter}')"
        place.run(f"INSERT INTO input VALUES ({i}, {body})")
    source = place.source(table="input")
    (split,) = source.plan()

    pieces = list(source.read(split, 100, 4_000_000))

    assert [piece.num_rows for piece in pieces] == [1] * 4
    assert [piece.batch["body"][0].as_py() for piece in pieces] == [x * 3_000_000 for x in "abcd"]


def test_an_abandoned_read_leaves_nothing_behind(place: Place) -> None:
    place.numbers(range(5000))
    source = place.source(5000, table="input")
    (split,) = source.plan()

    reading = source.read(split, 10, MANY)
    next(iter(reading))
    del reading
    source.close()

    place.run("DELETE FROM input")  # nothing is locked


def test_postgres_types_have_a_stated_outcome(shared_postgres: PostgresServer) -> None:
    place = empty_postgres(shared_postgres)
    place.run(
        "CREATE TYPE mood AS ENUM ('sad', 'glad')",
        "CREATE TABLE input (id INTEGER PRIMARY KEY, d NUMERIC(30, 10), z TIMESTAMPTZ,"
        " n TIMESTAMP, u UUID, j JSONB, m MOOD, a REAL[], b BYTEA, day DATE, ok BOOLEAN, s TEXT)",
        "INSERT INTO input VALUES (1, 12345678901234567890.0123456789, '2026-03-29 02:30:00+05:30',"
        " '2026-03-29 02:30:00.000001', '00000000-0000-0000-0000-00000000000a', '{\"a\": [1]}',"
        " 'glad', '{1.5, NULL}', '\\x00ff', '2026-02-28', true, 'ß😀')",
        "INSERT INTO input (id) VALUES (2)",
    )
    ((first, second),) = rows_of(place.source(table="input"))

    assert first == {
        "id": 1,
        "d": "12345678901234567890.0123456789",
        "z": dt.datetime(2026, 3, 28, 21, 0, tzinfo=dt.UTC),
        "n": dt.datetime(2026, 3, 29, 2, 30, 0, 1),  # noqa: DTZ001
        "u": "00000000-0000-0000-0000-00000000000a",
        "j": '{"a": [1]}',
        "m": "glad",
        "a": [1.5, None],
        "b": b"\x00\xff",
        "day": dt.date(2026, 2, 28),
        "ok": True,
        "s": "ß😀",
    }
    assert {value for name, value in second.items() if name != "id"} == {None}


def test_postgres_keys_of_other_types(shared_postgres: PostgresServer) -> None:
    place = empty_postgres(shared_postgres)
    place.run(
        "CREATE TABLE input (u UUID PRIMARY KEY, n NUMERIC, z TIMESTAMPTZ)",
        "INSERT INTO input SELECT gen_random_uuid(), i / 3.0, TIMESTAMPTZ '2026-01-01'"
        " + i * INTERVAL '1 second' FROM generate_series(1, 35) i",
    )
    for key in ("u", "n", "z"):
        splits = rows_of(place.source(table="input", key=key))
        assert [len(split) for split in splits] == [10, 10, 10, 5]


def test_mariadb_types_have_a_stated_outcome(shared_mariadb: MariaDbServer) -> None:
    place = empty_mariadb(shared_mariadb)
    place.run(
        "CREATE TABLE input (id INTEGER PRIMARY KEY, d DECIMAL(30, 10), z TIMESTAMP(6) NULL,"
        " n DATETIME(6), u BIGINT UNSIGNED, j JSON, m ENUM('sad', 'glad'), b BLOB, day DATE,"
        " tiny TINYINT UNSIGNED, f FLOAT, s TEXT)",
        "INSERT INTO input VALUES (1, 12345678901234567890.0123456789, '2026-03-28 21:00:00',"
        " '2026-03-29 02:30:00.000001', 18446744073709551615, '{\"a\": [1]}', 'glad', x'00ff',"
        " '2026-02-28', 255, 1.5, 'ß😀')",
        "INSERT INTO input (id) VALUES (2)",
    )
    ((first, second),) = rows_of(place.source(table="input"))

    assert first == {
        "id": 1,
        "d": Decimal("12345678901234567890.0123456789"),
        "z": dt.datetime(2026, 3, 28, 21, 0, tzinfo=dt.UTC),
        "n": dt.datetime(2026, 3, 29, 2, 30, 0, 1),  # noqa: DTZ001
        "u": 2**64 - 1,
        "j": '{"a": [1]}',
        "m": "glad",
        "b": b"\x00\xff",
        "day": dt.date(2026, 2, 28),
        "tiny": 255,
        "f": 1.5,
        "s": "ß😀",
    }
    assert {value for name, value in second.items() if name != "id"} == {None}


def test_sqlite_values_of_another_type_are_bad_rows(tmp_path: Path) -> None:
    place = Place("sqlite", f"sqlite:///{tmp_path}/a.db")
    place.run(
        "CREATE TABLE input (id INTEGER PRIMARY KEY, x REAL, n INTEGER, s TEXT, d DECIMAL(9, 2))",
        "INSERT INTO input VALUES (1, 1.5, 2, 'a', 0.5), (2, 'many', 2, 'b', 1),"
        " (3, 2.5, 'x', 'c', 2), (4, 3, 4, CAST(x'ff' AS TEXT), 3), (5, 0, 1, 'ok', NULL)",
    )
    source = place.source(table="input")
    (split,) = source.plan()

    (piece,) = source.read(split, MANY, MANY)

    assert piece.batch.column("id").to_pylist() == [1, 5]
    assert source.schema().field("d").type == pa.float64()
    assert [bad.row for bad in piece.bad] == [1, 2, 3]
    assert "column 'x': expected double, got 'many'" in str(piece.bad[0].error)
    assert b'"x":"many"' in piece.bad[0].raw
    assert "b'\\xff'" in str(piece.bad[2].error)


def test_duckdb_types_have_a_stated_outcome(tmp_path: Path) -> None:
    place = Place("duckdb", f"duckdb:///{tmp_path}/a.duckdb")
    place.run(
        "CREATE TABLE input AS SELECT 1 AS id, 1.5::DECIMAL(30, 10) AS d,"
        " TIMESTAMPTZ '2026-03-29 02:30:00+05:30' AS z, uuid() AS u, 'glad'::ENUM('sad', 'glad') m,"
        " [1.5::FLOAT, NULL] AS a, {'k': 1} AS s, 2::HUGEINT AS h"
    )
    ((row,),) = rows_of(place.source(table="input"))

    assert row["d"] == Decimal("1.5000000000")
    assert row["z"] == dt.datetime(2026, 3, 28, 21, 0, tzinfo=dt.UTC)
    assert len(row["u"]) == 36
    assert (row["m"], row["a"], row["s"]) == ("glad", [1.5, None], "{'k': 1}")
    assert int(row["h"]) == 2


def _literal(place: Place, text: str) -> str:
    text = text.replace("'", "''")
    return "'" + (text.replace("\\", "\\\\") if place.kind == "mariadb" else text) + "'"
