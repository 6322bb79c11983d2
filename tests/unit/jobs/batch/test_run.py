"""run_job over fakes: what is written, resumed, retried, refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NoReturn

import msgspec
import pyarrow as pa
import pytest

from penstock.core.errors import (
    Cancelled,
    ConfigError,
    InvalidArgument,
    JobFailed,
    JobInputError,
    JobOutputError,
    LoadFailed,
    ModelCrashed,
    NotReady,
    Overloaded,
)
from penstock.jobs.batch.dead import dead_path, read_dead
from penstock.jobs.batch.failure_policy import FailurePolicy
from penstock.jobs.batch.hold import hold
from penstock.jobs.batch.job_record import read_record
from penstock.jobs.batch.progress import Progress
from penstock.jobs.batch.report import LeftOut
from penstock.jobs.batch.run import JOURNAL, run_job
from penstock.jobs.batch.status import read_status
from penstock.testing.fake_batch import FakePredictors, FakeSink, FakeSource
from tests.unit.jobs.batch.fake_job import OPTIONS, fake_job, ids, tables

LENIENT = OPTIONS._replace(policy=FailurePolicy(max_rate=1.0))
SKIPPING = OPTIONS._replace(policy=FailurePolicy(max_rate=1.0, bad_files="skip"))


def test_every_row_is_predicted_once_and_the_output_marked_as_whole(tmp_path: Path) -> None:
    sink, model = FakeSink(), FakePredictors()

    report = run_job(fake_job(tmp_path, sink=sink, model=model), OPTIONS)

    assert ids(sink) == list(range(750))
    for part in sink.parts.values():
        assert part["id"].to_pylist() == sorted(part["id"].to_pylist())
        assert [2.0 * one for one in part["id"].to_pylist()] == part["y"].to_pylist()
    assert len(sink.parts) == report.splits == 9
    assert (report.tally.rows_in, report.tally.rows_out) == (750, 750)
    assert set(model.batches) == {8, 4, 2}  # 100 = 12 x 8 + 4, 50 = 6 x 8 + 2
    assert sink.num_open == model.num_open == 0
    assert sink.summary is not None
    summary = msgspec.json.decode(sink.summary)
    assert (summary["rows_in"], summary["rows_out"], summary["skipped"]) == (750, 750, [])


def test_several_copies_and_readers_write_the_same(tmp_path: Path) -> None:
    one, many = FakeSink(), FakeSink()
    run_job(fake_job(tmp_path / "one", sink=one), OPTIONS)

    run_job(fake_job(tmp_path / "many", sink=many), OPTIONS._replace(workers=3, readers=2))

    assert one.parts == many.parts
    assert one.summary == many.summary


def test_a_second_run_does_nothing_but_say_so_again(tmp_path: Path) -> None:
    sink, model, source = FakeSink(), FakePredictors(), FakeSource(tables())
    parts = fake_job(tmp_path, source, sink, model)
    run_job(parts, OPTIONS)
    told, batches = sink.summary, len(model.batches)

    report = run_job(parts, OPTIONS)

    assert len(model.batches) == batches
    assert (report.done_before, report.rows_before) == (9, 750)
    assert sink.summary == told


def test_a_part_that_is_gone_is_written_again(tmp_path: Path) -> None:
    sink = FakeSink()
    parts = fake_job(tmp_path, sink=sink)
    run_job(parts, OPTIONS)
    name, part = sink.parts.popitem()

    report = run_job(parts, OPTIONS)

    assert sink.parts[name] == part
    assert report.done_before == 8


def test_a_job_that_is_cancelled_while_it_looks_at_its_parts(tmp_path: Path) -> None:
    cancel = threading.Event()
    sink = FakeSink()
    parts = fake_job(tmp_path, sink=sink)
    run_job(parts, OPTIONS)
    before = dict(sink.parts)
    cancel.set()

    with pytest.raises(Cancelled, match="before it began"):
        run_job(parts, OPTIONS, cancel=cancel)

    assert sink.parts == before
    assert run_job(parts, OPTIONS).done_before == 9


def test_rows_that_the_model_chokes_on_are_dead_letters(tmp_path: Path) -> None:
    sink = FakeSink()
    model = FakePredictors(poison={17.0, 18.0, 600.0}, refused={20.0, 21.0})

    report = run_job(fake_job(tmp_path, sink=sink, model=model), LENIENT)

    dead = {17, 18, 20, 21, 600}
    assert ids(sink) == sorted(set(range(750)) - dead)
    assert report.tally.rows_dead == 5
    status = read_status(tmp_path)
    letters = [
        letter
        for path in (tmp_path / "dead").iterdir()
        for letter in read_dead(tmp_path, path.stem)
    ]
    assert status.tally.rows_dead == len(letters) == 5
    assert sorted((one.split, one.row) for one in letters) == [
        ("f0[0:100]", 17),
        ("f0[0:100]", 18),
        ("f0[0:100]", 20),
        ("f0[0:100]", 21),
        ("f2[100:200]", 0),
    ]
    first = min(letters, key=lambda one: (one.split, one.row))
    assert (first.code, first.message) == ("model_failed", "the model choked")
    assert (first.model, first.version) == ("double", 1)
    assert msgspec.json.decode(first.raw) == {"id": 17, "x": 17.0}


def test_rows_that_cannot_be_read_are_dead_letters_as_they_came(tmp_path: Path) -> None:
    source = FakeSource(tables(), bad_rows={("f0", 0), ("f0", 99), ("f1", 101)})
    sink = FakeSink()

    run_job(fake_job(tmp_path, source, sink), LENIENT)

    assert ids(sink) == [row for row in range(750) if row not in (0, 99, 351)]
    letters = sorted(
        (letter.split, letter.row, letter.raw)
        for path in (tmp_path / "dead").iterdir()
        for letter in read_dead(tmp_path, path.stem)
    )
    assert letters == [
        ("f0[0:100]", 0, "raw 0"),
        ("f0[0:100]", 99, "raw 99"),
        ("f1[100:200]", 1, "raw 101"),
    ]


def test_too_many_dead_rows_stop_the_job(tmp_path: Path) -> None:
    sink = FakeSink()
    model = FakePredictors(poison=range(750))
    options = OPTIONS._replace(policy=FailurePolicy(max_rate=0.01))

    with pytest.raises(JobFailed, match=r"rows could not be predicted, more than .*max_rate 0.01"):
        run_job(fake_job(tmp_path, sink=sink, model=model), options)

    assert sink.summary is None
    assert sink.parts == {}
    assert len(model.batches) < 100  # it did not go on to choke on all of them


def test_a_few_early_dead_rows_do_not_end_a_job_whose_rate_is_fine(tmp_path: Path) -> None:
    options = OPTIONS._replace(policy=FailurePolicy(max_rate=0.01))
    model = FakePredictors(poison=range(7))

    assert run_job(fake_job(tmp_path, model=model), options).tally.rows_dead == 7


def test_at_the_end_the_rate_holds_exactly(tmp_path: Path) -> None:
    options = OPTIONS._replace(policy=FailurePolicy(max_rate=0.01))
    sink, model = FakeSink(), FakePredictors(poison=range(8))

    told = rf"8 of 750 rows .*{tmp_path}/dead says why.*penstock batch retry-dead"
    with pytest.raises(JobFailed, match=told):
        run_job(fake_job(tmp_path, sink=sink, model=model), options)

    assert sink.summary is None
    model.poison.clear()
    lenient = options._replace(policy=FailurePolicy(max_rate=0.02))
    assert run_job(fake_job(tmp_path, sink=sink, model=model), lenient).done_before == 9


@pytest.mark.parametrize("fault", [ModelCrashed("gone"), NotReady("not yet"), MemoryError()])
def test_what_may_pass_is_tried_again(tmp_path: Path, fault: BaseException) -> None:
    sink, untroubled = FakeSink(), FakeSink()
    run_job(fake_job(tmp_path / "untroubled", sink=untroubled), OPTIONS)
    model = FakePredictors(faults=[None, fault, fault, None, fault])

    report = run_job(fake_job(tmp_path / "troubled", sink=sink, model=model), OPTIONS)

    assert report.tally.rows_dead == 0
    assert sink.parts == untroubled.parts


def test_a_model_that_stays_away_stops_the_job(tmp_path: Path) -> None:
    model = FakePredictors(faults=[Overloaded("full")] * 3)
    sink = FakeSink()
    parts = fake_job(tmp_path, sink=sink, model=model)

    with pytest.raises(Overloaded, match="full"):
        run_job(parts, OPTIONS)

    assert sink.num_open == 0
    run_job(parts, OPTIONS)
    assert ids(sink) == list(range(750))


def test_a_read_that_fails_goes_on_where_it_was(tmp_path: Path) -> None:
    hiccup = JobInputError("the store is away", retryable=True)
    source = FakeSource(tables(), faults=[None, None, hiccup, hiccup, None, None, None, hiccup])
    options = OPTIONS._replace(batch_rows=8)
    sink = FakeSink()

    run_job(fake_job(tmp_path, source, sink), options)

    assert ids(sink) == list(range(750))


def test_a_file_that_cannot_be_read_ends_the_job_after_those_under_way(tmp_path: Path) -> None:
    sink = FakeSink()
    faults = [None, None, JobInputError("f0: cut off")]  # the first is the first look's
    source = FakeSource(tables(), faults=faults)

    with pytest.raises(JobInputError, match="f0: cut off"):
        run_job(fake_job(tmp_path, source, sink), OPTIONS)

    assert sink.num_open == 0
    assert sink.summary is None
    assert all(part.num_rows for part in sink.parts.values())
    run_job(fake_job(tmp_path, source, sink), OPTIONS)
    assert ids(sink) == list(range(750))


def test_files_that_cannot_be_read_are_left_out_where_the_job_says_so(tmp_path: Path) -> None:
    sink = FakeSink()
    source = FakeSource(tables(), faults=[None, None, JobInputError("f0: cut off")])

    report = run_job(fake_job(tmp_path, source, sink), SKIPPING)

    assert ids(sink) == [*range(100), *range(200, 750)]
    assert report.num_left_out == 1
    assert report.left_out == (LeftOut("f0[100:200]", "f0: cut off"),)
    assert sink.summary is not None
    told = msgspec.json.decode(sink.summary)
    assert told["skipped"] == [{"split": "f0[100:200]", "reason": "f0: cut off"}]
    assert read_status(tmp_path).skipped[0].split == "f0[100:200]"

    report = run_job(fake_job(tmp_path, source, sink), SKIPPING)

    assert ids(sink) == list(range(750))
    assert (report.num_left_out, report.left_out) == (0, ())
    assert read_status(tmp_path).skipped == ()


def test_where_nothing_can_be_read_the_job_fails(tmp_path: Path) -> None:
    source = FakeSource(tables(1, 100), faults=[None, JobInputError("cut off")])

    with pytest.raises(JobFailed, match="nothing of the input can be read: cut off"):
        run_job(fake_job(tmp_path, source), SKIPPING)


@pytest.mark.parametrize("method", ["open", "write", "commit"])
def test_a_part_that_cannot_be_written_is_done_again_as_a_whole(
    tmp_path: Path, method: str
) -> None:
    busy = JobOutputError("busy", retryable=True)
    sink = FakeSink({method: [None, busy, busy]})

    run_job(fake_job(tmp_path, sink=sink), OPTIONS)

    assert ids(sink) == list(range(750))
    assert sink.num_open == 0


def test_a_sink_that_refuses_stops_the_job_and_keeps_what_is_done(tmp_path: Path) -> None:
    sink = FakeSink({"commit": [None, None, JobOutputError("no such table")]})

    with pytest.raises(JobOutputError, match="no such table"):
        run_job(fake_job(tmp_path, sink=sink), OPTIONS)

    assert len(sink.parts) == 2
    assert sink.summary is None
    assert run_job(fake_job(tmp_path, sink=sink), OPTIONS).done_before == 2
    assert ids(sink) == list(range(750))


def test_another_model_or_spec_is_refused(tmp_path: Path) -> None:
    sink = FakeSink()
    run_job(fake_job(tmp_path, sink=sink), OPTIONS)

    with pytest.raises(JobFailed, match="begun with model 'double' version 1"):
        run_job(fake_job(tmp_path, sink=sink, model=FakePredictors(digest="d2")), OPTIONS)
    with pytest.raises(JobFailed, match="the job was changed"):
        run_job(fake_job(tmp_path, sink=sink, spec_digest="s2"), OPTIONS)
    assert sink.summary is not None


def test_a_job_of_which_nothing_is_written_may_be_changed(tmp_path: Path) -> None:
    sick, sink = FakePredictors(poison=range(750)), FakeSink()
    with pytest.raises(JobFailed, match="could not be predicted"):
        run_job(fake_job(tmp_path, sink=sink, model=sick), OPTIONS)
    assert read_record(tmp_path) is not None

    mended = FakePredictors(digest="d2")
    run_job(fake_job(tmp_path, sink=sink, model=mended, spec_digest="s2"), OPTIONS)

    assert ids(sink) == list(range(750))
    record = read_record(tmp_path)
    assert record is not None
    assert (record.model.digest, record.spec_digest) == ("d2", "s2")


def test_parts_whose_lines_are_lost_hold_the_job_to_what_it_was(tmp_path: Path) -> None:
    sink = FakeSink()
    run_job(fake_job(tmp_path, sink=sink), OPTIONS)
    (tmp_path / JOURNAL).unlink()

    with pytest.raises(JobFailed, match="the job was changed"):
        run_job(fake_job(tmp_path, sink=sink, spec_digest="s2"), OPTIONS)


def test_columns_that_are_wrong_begin_no_job(tmp_path: Path) -> None:
    def refuse(schema: pa.Schema) -> NoReturn:
        raise ConfigError("keep: the input has no one column 'idd'")

    with pytest.raises(ConfigError, match="idd"):
        run_job(fake_job(tmp_path)._replace(open_outputs=refuse), OPTIONS)

    assert read_record(tmp_path) is None


def test_parts_of_another_job_are_refused_though_the_state_is_lost(tmp_path: Path) -> None:
    sink = FakeSink()
    run_job(fake_job(tmp_path / "one", sink=sink), OPTIONS)

    with pytest.raises(JobFailed, match="parts of another job"):
        run_job(fake_job(tmp_path / "two", sink=sink, spec_digest="s2"), OPTIONS)


def test_an_input_that_was_changed_is_refused_and_one_that_has_grown_is_not(
    tmp_path: Path,
) -> None:
    sink = FakeSink()
    run_job(fake_job(tmp_path, FakeSource(tables(2)), sink), OPTIONS)

    run_job(fake_job(tmp_path, FakeSource(tables(3)), sink), OPTIONS)
    assert ids(sink) == list(range(750))

    with pytest.raises(JobFailed, match=r"the input was changed .* f2\[0:100\].* --fresh"):
        run_job(fake_job(tmp_path, FakeSource(tables(2)), sink), OPTIONS)


def test_two_runners_on_one_state_are_one_too_many(tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(JobFailed, match="run already"):
        run_job(fake_job(tmp_path), OPTIONS)


def test_a_cancelled_job_stops_within_a_batch_and_goes_on_later(tmp_path: Path) -> None:
    cancel, begun = threading.Event(), threading.Event()
    sink, untroubled = FakeSink(), FakeSink()
    run_job(fake_job(tmp_path / "untroubled", sink=untroubled), OPTIONS)
    state = tmp_path / "state"

    def before(rows: int) -> None:
        if len(model.batches) == 20:
            cancel.set()
            begun.wait(10)  # set by nobody before the job has stopped

    model = FakePredictors(before=before)
    stopper = threading.Timer(0.5, begun.set)
    stopper.start()
    with pytest.raises(Cancelled, match="1 of 9 splits are done; run it again"):
        run_job(fake_job(state, sink=sink, model=model), OPTIONS, cancel=cancel)
    stopper.join()

    assert len(model.batches) == 21
    assert sink.num_open == model.num_open == 0
    run_job(fake_job(state, sink=sink), OPTIONS)
    assert sink.parts == untroubled.parts


def test_progress_ends_with_all_of_it(tmp_path: Path) -> None:
    told: list[Progress] = []
    model = FakePredictors(poison={5.0})

    run_job(fake_job(tmp_path, model=model), LENIENT, on_progress=told.append)

    assert told[-1] == Progress(9, 9, rows=750, rows_dead=1, rows_settled=750)
    assert [one.rows for one in told] == sorted(one.rows for one in told)


def test_the_batch_size_that_was_found_is_kept(tmp_path: Path) -> None:
    options = OPTIONS._replace(batch_rows=None)
    sink = FakeSink({"commit": [None, JobOutputError("full")]})
    with pytest.raises(JobOutputError):
        run_job(fake_job(tmp_path, sink=sink), options)
    record = read_record(tmp_path)
    assert record is not None

    report = run_job(fake_job(tmp_path, sink=sink), options._replace(batch_rows=3))

    assert report.batch_rows == record.cut.batch_rows
    assert read_record(tmp_path) == record


def test_rows_that_do_not_fit_the_model_are_told_of(tmp_path: Path) -> None:
    model = FakePredictors(faults=[InvalidArgument("input 'x': expected 3 columns, got 2")])

    with pytest.raises(JobInputError, match="do not fit the model: input 'x'"):
        run_job(fake_job(tmp_path, model=model), OPTIONS)


def test_memory_that_is_too_little_is_told_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="memory: 1 MiB are too little for 9 copies"):
        run_job(fake_job(tmp_path), OPTIONS._replace(memory_bytes=1024**2, workers=9))


def test_a_model_that_does_not_load_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_copy(self: FakePredictors) -> None:
        raise LoadFailed("no such file")

    monkeypatch.setattr(FakePredictors, "open", open_copy)
    with pytest.raises(LoadFailed, match="no such file"):
        run_job(fake_job(tmp_path), OPTIONS)


def test_a_split_that_is_planned_twice_is_refused(tmp_path: Path) -> None:
    class Twice(FakeSource):
        def plan(self):  # type: ignore[no-untyped-def]
            yield from super().plan()
            yield from super().plan()

    with pytest.raises(JobInputError, match="the input has it twice"):
        run_job(fake_job(tmp_path, Twice(tables())), OPTIONS)


def test_empty_files_have_empty_parts(tmp_path: Path) -> None:
    sink = FakeSink()
    given = {"a": tables()["f0"].slice(0, 0), "b": tables()["f0"], "c": tables()["f0"].slice(0, 0)}

    report = run_job(fake_job(tmp_path, FakeSource(given), sink), OPTIONS)

    assert report.splits == 5
    assert ids(sink) == list(range(250))
    assert len({part.schema for part in sink.parts.values()}) == 1


def test_an_input_of_empty_files_alone_is_a_whole_output_without_rows(tmp_path: Path) -> None:
    sink = FakeSink()
    given = {"a": tables()["f0"].slice(0, 0)}

    report = run_job(fake_job(tmp_path, FakeSource(given), sink), OPTIONS._replace(batch_rows=None))

    assert (report.tally.rows_in, len(sink.parts)) == (0, 1)
    assert sink.summary is not None


def test_no_dead_letters_no_file(tmp_path: Path) -> None:
    model = FakePredictors(poison={5.0})
    sink = FakeSink({"commit": [JobOutputError("busy", retryable=True)]})

    def mended(rows: int) -> None:
        if len(model.batches) > 40:
            model.poison.clear()

    model.before = mended
    run_job(fake_job(tmp_path, sink=sink, model=model), LENIENT)

    assert not any(dead_path(tmp_path, name).exists() for name in sink.parts)
    assert ids(sink) == list(range(750))
