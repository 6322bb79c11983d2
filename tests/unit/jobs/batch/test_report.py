"""Tallies, distributions, and the report of a job."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock.app.cli.batch_tables import report_lines
from penstock.core.dtype import DType
from penstock.core.errors import JobOutputError
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor, object_array
from penstock.jobs.batch.distribution import (
    ClassCounts,
    Distribution,
    Histogram,
    distributions,
    histogram,
)
from penstock.jobs.batch.report import LeftOut, Report, SplitTally, write_report
from penstock.jobs.predictor import ModelIdentity

IDENTITY = ModelIdentity("tweet", 3, "abcdef" * 10)
NASTY = "a|b $x$ <&> \x00\nend"


def count(dtype: DType, array: Any, labels: tuple[str, ...] = ()) -> Distribution:
    spec = TensorSpec("y", dtype, (-1,) * array.ndim, labels=labels)
    return distributions(ModelSignature((), (spec,)), (Tensor("y", dtype, array),))["y"]


def test_scores_with_labels_count_the_best_one() -> None:
    scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], np.float32)
    assert count(DType.FP32, scores, ("bad", "good")) == ClassCounts({"bad": 1, "good": 2})


def test_text_and_booleans_count_their_values() -> None:
    words = object_array([b"b", b"a", b"b", b"\xff"])
    assert count(DType.BYTES, words) == ClassCounts({"\\xff": 1, "a": 1, "b": 2})
    assert count(DType.BOOL, np.array([True, True])) == ClassCounts({"true": 2})


def test_too_many_values_are_not_counted() -> None:
    many = object_array([str(number).encode() for number in range(1001)])
    found = count(DType.BYTES, many)
    assert found == ClassCounts(is_many=True)
    assert found.plus(ClassCounts({"a": 1})) == ClassCounts(is_many=True)
    half = [count(DType.BYTES, part) for part in (many[:500], many[500:])]
    assert half[0].plus(half[1]) == found  # type: ignore[arg-type]


def test_class_numbers_are_counted_one_by_one() -> None:
    found = count(DType.INT64, np.array([3, 5, 3, 0]))
    assert isinstance(found, Histogram)
    assert found.edges == [0, 1, 2, 3, 4, 5, 6]
    assert list(found.counts) == [1, 0, 0, 2, 0, 1]


def test_numbers_that_are_none_are_counted_apart() -> None:
    found = histogram(np.array([np.nan, np.inf, -np.inf, -np.inf, 0.5], np.float32))
    assert (found.nan, found.below, found.above, list(found.counts)) == (1, 2, 1, [1])
    assert histogram(np.array([np.nan])) == Histogram(nan=1)


def test_probabilities_fill_the_bins() -> None:
    found = histogram(np.linspace(0, 1, 1001, dtype=np.float32))
    assert 32 <= len(found.counts) <= 64
    assert found.edges[0] == 0


def test_bf16_is_counted_by_value() -> None:
    found = count(DType.BF16, np.array([0xC020], np.uint16))
    assert isinstance(found, Histogram)
    assert found.edges[0] <= -2.5 < found.edges[1]


def tally() -> SplitTally:
    classes = ClassCounts({"good": 5, "bad": 2, NASTY: 1})
    return SplitTally(
        rows_in=10,
        rows_out=8,
        rows_dead=1,
        rows_dropped=1,
        bytes_in=2048,
        bytes_out=512,
        seconds={"read": 1.0, "predict": 2.0},
        predictions={
            "label": classes,
            "score": histogram(np.linspace(0, 1, 8)),
            "text": ClassCounts(is_many=True),
            "none": histogram(np.array([np.nan])),
        },
    )


def test_tallies_add_up() -> None:
    both = tally().plus(tally())
    assert (both.rows_in, both.rows_out, both.rows_dead, both.rows_dropped) == (20, 16, 2, 2)
    assert (both.bytes_in, both.bytes_out) == (4096, 1024)
    assert both.seconds == {"read": 2.0, "predict": 4.0}
    assert both.is_whole
    label = both.predictions["label"]
    assert isinstance(label, ClassCounts)
    assert label.counts["good"] == 10
    assert SplitTally().plus(tally()) == tally()
    assert not SplitTally(rows_in=1).is_whole


def test_a_tally_goes_through_json() -> None:
    told = msgspec.json.encode(tally())
    assert msgspec.json.decode(told, type=SplitTally) == tally()


def report(**fields: Any) -> Report:
    given: dict[str, Any] = {"name": "nightly $", "model": IDENTITY, "splits": 4, "wall_s": 2.0}
    return Report(**{**given, "tally": tally(), "output": "out/", **fields})


def test_rows_a_second_are_those_of_this_run() -> None:
    assert report().rows_per_s == 5
    assert report(rows_before=6).rows_per_s == 2
    assert report(wall_s=0.0).rows_per_s > 0


def test_a_report_is_three_files(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "report"
    write_report(report(done_before=2, batch_rows=256), folder)
    told = msgspec.json.decode((folder / "report.json").read_bytes(), type=Report)
    assert told == report(done_before=2, batch_rows=256)
    text = (folder / "report.md").read_text()
    for line in (
        "# Batch job nightly $",
        "| dead letters | 1 (10.000%) |",
        "| seconds of this run | 2.0 |",
        "| rows/s | 5 |",
        "Seconds of all workers and of earlier runs, added up; stages run side by side.",
        "| of them done by earlier runs | 2 |",
        "| good | 5 | 62.5% |",
        "| a\\|b $x$ <&> \x00 end | 1 | 12.5% |",
        "Too many different values to count.",
        "| NaN | NaN | 1 | |",
        "![The job in a picture](report.svg)",
    ):
        assert line in text
    picture = ET.fromstring((folder / "report.svg").read_bytes())
    words = " ".join(picture.itertext())
    assert "output label" in words
    assert "good" in words
    assert "<&>" in words
    assert "seconds of each stage, of all workers and runs" in words


def test_stages_of_one_run_are_not_said_to_be_of_several(tmp_path: Path) -> None:
    write_report(report(), tmp_path)
    assert "Seconds of all workers, added up;" in (tmp_path / "report.md").read_text()
    assert "and runs" not in (tmp_path / "report.svg").read_text()


def test_what_was_left_out_is_told(tmp_path: Path) -> None:
    told = (LeftOut("a|b.csv[0:10]", "cut\noff"), LeftOut("c.csv[0:10]", "not found"))
    lacking = report(num_left_out=12, left_out=told)
    write_report(lacking, tmp_path)

    assert msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report) == lacking
    text = (tmp_path / "report.md").read_text()
    for line in (
        "| of them left out: they cannot be read | 12 |",
        "| a\\|b.csv[0:10] | cut off |",
        "| c.csv[0:10] | not found |",
        "| 10 others | |",
    ):
        assert line in text
    shown = list(report_lines(lacking, "out/_job"))
    assert "12 of 4 splits cannot be read and are left out" in shown
    assert "left out: c.csv[0:10]: not found" in shown
    write_report(report(), tmp_path)
    assert "eft out:" not in (tmp_path / "report.md").read_text()
    assert not any("left out:" in line for line in report_lines(report(), "out/_job"))


def test_the_same_report_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(report(), tmp_path / name)
    for name in ("report.json", "report.md", "report.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_short_stage_is_not_drawn_as_nothing(tmp_path: Path) -> None:
    brief = msgspec.structs.replace(tally(), seconds={"read": 0.0042, "predict": 1234.56})
    write_report(report(tally=brief), tmp_path)
    words = " ".join(ET.fromstring((tmp_path / "report.svg").read_bytes()).itertext())
    assert "0.0042" in words
    assert "1,234.6" in words


@pytest.mark.parametrize("outputs", [0, 1, 9])
def test_pictures_of_few_and_many_outputs(outputs: int, tmp_path: Path) -> None:
    predictions = {f"y{at}": ClassCounts({"a": at}) for at in range(outputs)}
    few = msgspec.structs.replace(tally(), predictions=predictions, seconds={})
    write_report(report(tally=few), tmp_path)
    ET.fromstring((tmp_path / "report.svg").read_bytes())


def test_without_matplotlib_there_is_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_module: Any = None
    monkeypatch.setitem(sys.modules, "matplotlib", no_module)
    write_report(report(), tmp_path)
    assert not (tmp_path / "report.svg").exists()
    assert "pip install 'penstock[batch]'" in (tmp_path / "report.md").read_text()


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobOutputError, match="the report cannot be written"):
        write_report(report(), tmp_path / "file")
