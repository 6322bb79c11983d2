"""Rows changed by a function or by SQL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.transform import Transform, TransformSpec, open_transform

BATCH = pa.RecordBatch.from_pydict({"id": [1, 2, 3], "body": ["A", "B", "C"]})
NUMBERS = np.array([10, 11, 14])

CODE = """
import pyarrow as pa
import pyarrow.compute as pc

def lower(batch):
    place = batch.schema.get_field_index("body")
    return batch.set_column(place, "body", pc.utf8_lower(batch["body"]))

def odd(batch):
    return batch.filter(pc.equal(pc.bit_wise_and(batch["id"], 1), 1))

def backwards(batch):
    return batch.take(pa.array([2, 1, 0]))

def as_dict(batch):
    return {"x": [1.0] * len(batch), "__row__": batch["__row__"]}

def as_table(batch):
    return pa.concat_tables([pa.table(batch)[:1], pa.table(batch)[1:]])

def none_left(batch):
    return pa.table(batch)[:0]

def too_few(batch):
    return batch.drop_columns(["__row__"])[:1]

def doubled(batch):
    return pa.concat_tables([pa.table(batch), pa.table(batch)])

def invented(batch):
    return {"__row__": [99]}

def words(batch):
    return {"__row__": ["a"]}

def nothing(batch):
    return None

def raises(batch):
    raise KeyError("no such thing")

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prepare.py").write_text(CODE)
    return tmp_path


def python(name: str, folder: Path) -> Transform:
    return open_transform(TransformSpec(python=f"prepare.py:{name}"), folder)


def sql(text: str) -> Transform:
    return open_transform(TransformSpec(sql=text))


@pytest.mark.parametrize("spec", [None, TransformSpec()])
def test_nothing_to_do(spec: TransformSpec | None) -> None:
    transform = open_transform(spec)
    assert transform.apply(BATCH, NUMBERS) == (BATCH, NUMBERS)
    assert transform.digest == ""
    transform.close()


def test_a_function_changes_columns(folder: Path) -> None:
    batch, numbers = python("lower", folder).apply(BATCH, NUMBERS)
    assert batch.to_pydict() == {"id": [1, 2, 3], "body": ["a", "b", "c"]}
    assert numbers.tolist() == [10, 11, 14]


def test_rows_may_be_left_out(folder: Path) -> None:
    batch, numbers = python("odd", folder).apply(BATCH, NUMBERS)
    assert batch.to_pydict() == {"id": [1, 3], "body": ["A", "C"]}
    assert numbers.tolist() == [10, 14]
    batch, numbers = python("none_left", folder).apply(BATCH, NUMBERS)
    assert batch.schema == BATCH.schema
    assert (batch.num_rows, numbers.tolist()) == (0, [])


def test_rows_come_back_in_their_order(folder: Path) -> None:
    batch, numbers = python("backwards", folder).apply(BATCH, NUMBERS)
    assert batch == BATCH
    assert numbers.tolist() == [10, 11, 14]


@pytest.mark.parametrize(("name", "columns"), [("as_dict", ["x"]), ("as_table", ["id", "body"])])
def test_a_function_may_give_any_table(name: str, columns: list[str], folder: Path) -> None:
    batch, numbers = python(name, folder).apply(BATCH, NUMBERS)
    assert isinstance(batch, pa.RecordBatch)
    assert (batch.num_rows, batch.schema.names) == (3, columns)
    assert numbers.tolist() == [10, 11, 14]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("too_few", "prepare.py:too_few: expected 3 rows, got 1; .*'__row__'"),
        ("doubled", "each once at most"),
        ("invented", "numbers that were given"),
        ("words", "numbers that were given"),
        ("nothing", r"prepare.py:nothing raised TypeError"),
        ("raises", r"raised KeyError: 'no such thing' \(rows 10 to 14 of the split\)"),
    ],
)
def test_what_a_function_may_not_give(name: str, told: str, folder: Path) -> None:
    with pytest.raises(JobInputError, match=told):
        python(name, folder).apply(BATCH, NUMBERS)


def test_the_name_of_the_row_column_is_taken(folder: Path) -> None:
    rows = pa.RecordBatch.from_pydict({"__row__": [1]})
    with pytest.raises(JobInputError, match="'__row__': the name is taken"):
        python("lower", folder).apply(rows, np.array([0]))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("prepare.py:lowr", "no function 'lowr', did you mean 'lower'"),
        ("prepare.py:number", "no function 'number'"),
        ("other.py:lower", "other.py: there is no such file"),
        ("prepare.py", "expected FILE.py:FUNCTION, got 'prepare.py'"),
        ("broken.py:f", "importing broken.py raised ZeroDivisionError"),
        ("no_such_module:f", "importing no_such_module raised ModuleNotFoundError"),
        ("no_such_module", "expected FILE.py:FUNCTION"),
    ],
)
def test_a_function_that_is_not_there(place: str, told: str, folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0")
    with pytest.raises(ConfigError, match=told):
        open_transform(TransformSpec(python=place), folder)


def test_a_module_on_the_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "prepare_rows.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(folder))
    try:
        transform = open_transform(TransformSpec(python="prepare_rows:lower"))
        assert transform.apply(BATCH, NUMBERS)[0]["body"].to_pylist() == ["a", "b", "c"]
    finally:
        sys.modules.pop("prepare_rows", None)


def test_another_code_is_another_digest(folder: Path) -> None:
    one = python("lower", folder).digest
    assert python("lower", folder).digest == one
    assert python("odd", folder).digest != one
    (folder / "prepare.py").write_text(CODE + "\n# changed\n")
    assert python("lower", folder).digest != one
    assert sql("select 1 from batch").digest != sql("select 2 from batch").digest


def test_files_beside_it_can_be_imported(folder: Path) -> None:
    (folder / "words.py").write_text("WORD = 'beside'")
    (folder / "main.py").write_text(
        "from .words import WORD\ndef f(batch):\n    return {'w': [WORD] * len(batch)}"
    )
    transform = open_transform(TransformSpec(python="main.py:f"), folder)
    assert transform.apply(BATCH, NUMBERS)[0]["w"].to_pylist() == ["beside"] * 3


def test_sql_over_the_batch() -> None:
    transform = sql("select *, lower(body) as body from batch where id > 1;")
    batch, numbers = transform.apply(BATCH, NUMBERS)
    assert batch.to_pydict() == {"id": [2, 3], "body": ["b", "c"]}
    assert numbers.tolist() == [11, 14]
    batch, numbers = transform.apply(BATCH.slice(0, 1), NUMBERS[:1])
    assert (batch.num_rows, numbers.tolist()) == (0, [])
    transform.close()


def test_sql_without_the_row_column_keeps_every_row() -> None:
    batch, _ = sql("select id * 2 as double from batch").apply(BATCH, NUMBERS)
    assert batch.to_pydict() == {"double": [2, 4, 6]}
    with pytest.raises(JobInputError, match="expected 3 rows, got 1"):
        sql("select count(*) from batch").apply(BATCH, NUMBERS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("selec 1", "transform.sql: Parser Error"),
        ("create table x(a int)", "expected one SELECT"),
        ("select 1; select 2", "expected one SELECT"),
        (";", "expected one SELECT"),
    ],
)
def test_sql_that_is_no_select(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        sql(text)


def test_sql_that_fails_over_rows() -> None:
    transform = sql("select cast(body as int) as body from batch")
    with pytest.raises(JobInputError, match=r"transform.sql raised ConversionException: .*rows 10"):
        transform.apply(BATCH, NUMBERS)
    with pytest.raises(JobInputError, match="raised BinderException"):
        sql("select no_such_column from batch").apply(BATCH, NUMBERS)


def test_both_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="both set"):
        open_transform(TransformSpec(python="a.py:f", sql="select 1"))


def test_sql_without_duckdb(monkeypatch: pytest.MonkeyPatch) -> None:
    no_module: Any = None
    monkeypatch.setitem(sys.modules, "duckdb", no_module)
    with pytest.raises(ConfigError, match=r"pip install 'penstock\[duckdb\]'"):
        sql("select 1")
