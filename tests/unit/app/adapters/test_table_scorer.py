"""As many rows out as in, in their order."""

from __future__ import annotations

import pyarrow as pa
import pytest

from penstock.app.adapters.row_scorer import RowScorer
from penstock.app.adapters.scoring import Scoring
from penstock.app.adapters.shared_model import SharedModel
from penstock.app.adapters.table_scorer import TableScorer
from penstock.core.errors import ConfigError, JobFailed, JobInputError
from penstock.jobs.model_ref import ModelRef
from tests.unit.app.adapters.fake_model import FakeModel


def scorer(
    model: FakeModel, error_column: str | None = "error", batch_rows: int = 100, **told: object
) -> TableScorer:
    scoring = Scoring(model=ModelRef(path="m"), batch_rows=batch_rows, **told)  # type: ignore[arg-type]
    return TableScorer(RowScorer(scoring, SharedModel(model)), scoring, error_column)


def rows(*texts: str | None) -> pa.RecordBatch:
    columns = {"id": range(len(texts)), "text": pa.array(texts, pa.string())}
    return pa.RecordBatch.from_pydict(columns)


def test_rows_that_are_refused_keep_their_place() -> None:
    told = scorer(FakeModel(), keep=("id", "text")).score(rows("a", "", "bb", None, "bomb", "ccc"))
    assert told.to_pydict() == {
        "id": [0, 1, 2, 3, 4, 5],
        "text": ["a", "", "bb", None, "bomb", "ccc"],
        "letters": [1, None, 2, None, None, 3],
        "error": [
            None,
            "invalid_argument: empty",
            None,
            "invalid_argument: column 'text': expected a value, got null",
            "model_failed: a bomb",
            None,
        ],
    }
    assert told.schema.field("letters").type == pa.uint16()


def test_a_slice_of_a_batch_is_read_from_where_it_begins() -> None:
    told = scorer(FakeModel(), keep=("id",)).score(rows("a", "bb", "", "dddd").slice(1))
    assert told.to_pydict()["id"] == [1, 2, 3]
    assert told.to_pydict()["letters"] == [2, None, 4]


@pytest.mark.parametrize("texts", [[], ["", ""], ["bomb"], ["a", "bb"]])
def test_every_batch_has_the_same_schema(texts: list[str]) -> None:
    table = scorer(FakeModel(), keep=("text",), rename={"letters": "n"})
    told = table.score(rows(*texts))
    assert told.schema == table.schema(rows().schema)
    assert told.schema.names == ["text", "n", "error"]
    assert told.num_rows == len(texts)


def test_the_model_is_given_no_more_rows_than_it_may() -> None:
    model = FakeModel()
    assert scorer(model, batch_rows=4).score(rows(*"abcdefghij")).num_rows == 10
    assert model.batches == [4, 4, 2]


def test_without_a_column_for_errors_a_refused_row_is_one() -> None:
    table = scorer(FakeModel(), error_column=None)
    assert table.score(rows("a")).to_pydict() == {"letters": [1]}
    with pytest.raises(JobFailed, match=r"2 of 3 rows were refused; .* row 1: empty"):
        table.score(rows("a", "", "bomb"))


def test_columns_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="'letters' is a column of the output already"):
        scorer(FakeModel(), error_column="letters").score(rows("a"))
    with pytest.raises(ConfigError, match="keep: the input has no one column 'ID'"):
        scorer(FakeModel(), keep=("ID",)).score(rows("a"))
    with pytest.raises(JobInputError, match=r"column 'text' .*missing"):
        scorer(FakeModel()).score(pa.RecordBatch.from_pydict({"body": ["a"]}))
    with pytest.raises(ConfigError, match="no input of this name"):
        scorer(FakeModel(), columns={"txet": "text"})


def test_a_table_is_scored_chunk_by_chunk() -> None:
    table = pa.Table.from_batches([rows("a", ""), rows("bb")])
    assert scorer(FakeModel()).score_table(table)["letters"].to_pylist() == [1, None, 2]
    assert scorer(FakeModel()).score_table(table.slice(0, 0)).column_names == ["letters", "error"]
