"""A model in Ray Data's ``map_batches``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from penstock.app.adapters.ray_data import RayDataPredictor
from tests.runners.runner_models import MODELS, digits, loads, words_model

ray = pytest.importorskip("ray")
data = pytest.importorskip("ray.data")

pytestmark = [pytest.mark.timeout(240), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def predicted(dataset: Any, actors: int = 2, **arguments: Any) -> list[dict[str, Any]]:
    scored = dataset.map_batches(
        RayDataPredictor,
        fn_constructor_kwargs=arguments,
        batch_format="pyarrow",
        batch_size=50,
        concurrency=actors,
    )
    return list(scored.take_all())


def test_the_answers_are_those_of_the_bare_engine() -> None:
    table, label = digits()
    rows = predicted(
        data.from_arrow(table).repartition(6),
        model={"path": str(MODELS), "name": "digits", "version": 1},
        keep=["id"],
    )
    found = {row["id"]: row for row in rows}
    assert [found[number]["label"] for number in range(len(label))] == label.tolist()
    assert {row["error"] for row in rows} == {None}


def test_a_refused_row_says_why_and_harms_no_other(tmp_path: Path) -> None:
    texts: list[Any] = [f"word{number}" for number in range(40)]
    texts[7], texts[23], texts[31] = "", "bomb", None
    table = pa.table({"id": range(40), "text": pa.array(texts, pa.string())})
    rows = predicted(
        data.from_arrow(table), model=str(words_model(tmp_path)), keep=["id"], actors=1
    )
    assert sorted(row["id"] for row in rows) == list(range(40))
    by_id = {row["id"]: row for row in rows}
    assert by_id[3] == {"id": 3, "letters": 5, "loud": "WORD3", "error": None}
    assert {row["id"] for row in rows if row["error"] is not None} == {7, 23, 31}
    assert by_id[7]["loud"] is None
    assert by_id[7]["error"] == "invalid_argument: an empty text"


def test_each_actor_loads_one_copy(tmp_path: Path) -> None:
    table = pa.table({"text": [f"w{number}" for number in range(400)]})
    rows = predicted(data.from_arrow(table).repartition(16), model=str(words_model(tmp_path)))
    assert len(rows) == 400
    assert len(loads(tmp_path)) == len(set(loads(tmp_path))) <= 2


def test_a_table_of_several_chunks_and_one_of_none(tmp_path: Path) -> None:
    predictor = RayDataPredictor(str(words_model(tmp_path)), batch_rows=2)
    table = pa.concat_tables([pa.table({"text": ["a", "bb", "ccc"]}), pa.table({"text": ["d"]})])
    assert predictor(table)["letters"].to_pylist() == [1, 2, 3, 1]
    empty = predictor(table.slice(0, 0))
    assert empty.num_rows == 0
    assert empty.column_names == ["letters", "loud", "error"]
