"""Pipeline: read, predict and write at once, across splits; bounded in bytes.

::

    desk -> readers -> ByteQueue -> predictors, a copy each -> LaneQueue -> writer -> desk

A split is one lane: its pieces are numbered, and written in their order. Where a piece fails, the
rest of its split passes through empty, and the split's end tells the desk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from penstock.core.clock import Clock
from penstock.core.errors import PenstockError
from penstock.jobs.batch.breakdown import broken
from penstock.jobs.batch.byte_queue import ByteQueue, LaneQueue, QueueAborted
from penstock.jobs.batch.part_in_progress import PartInProgress
from penstock.jobs.batch.parts import Cut, JobParts, Outputs, Room
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.predict_rows import Predicted, RowPredictor
from penstock.jobs.batch.read_rows import Piece, RowReader
from penstock.jobs.batch.report import SplitTally
from penstock.jobs.batch.work import Desk, Work
from penstock.jobs.predictor import Predictor

_LOOK_S = 0.05


class Stages(NamedTuple):
    """What a pipeline works with.

    Attributes:
        parts: the job.
        outputs: makes rows of the output.
        cut: how rows are cut.
        room: what may lie in the queues.
        patience: how often something is tried again.
        clock: whose time it takes.
        readers: how many splits are read at once, >= 1.
    """

    parts: JobParts
    outputs: Outputs
    cut: Cut
    room: Room
    patience: Patience
    clock: Clock
    readers: int = 1


class _Attempt:
    """One attempt at a split. Its error is set once, by whichever stage it fails in."""

    def __init__(self, lane: int, work: Work) -> None:
        self.lane = lane
        self.work = work
        self.error: PenstockError | None = None

    def fail(self, error: PenstockError) -> None:
        self.error = self.error or error


class _Step(NamedTuple):
    """A piece on its way, what became of it, or the end of its split."""

    attempt: _Attempt
    number: int
    piece: Piece | None = None
    answer: Predicted | None = None
    tally: SplitTally = SplitTally()
    is_end: bool = False

    @property
    def num_bytes(self) -> int:
        if self.answer is not None:
            rows = sum(int(batch.nbytes) for batch in self.answer.batches)
            return rows + sum(len(dead.raw) for dead in self.answer.dead)
        return 0 if self.piece is None else self.piece.num_bytes


class Pipeline:
    """Does what a desk gives out, until it gives out no more. Used once.

    Args:
        stages: what it works with.
        predictors: the copies of the model; they are the caller's.
        desk: gives out splits.
    """

    def __init__(self, stages: Stages, predictors: Sequence[Predictor], desk: Desk) -> None:
        self._stages = stages
        self._desk = desk
        self._predictors = predictors
        self._read: ByteQueue[_Step] = ByteQueue(stages.room.read)
        self._predicted: LaneQueue[_Step] = LaneQueue(stages.room.predicted)
        parts = stages.parts
        self._reader = RowReader(
            parts.source, parts.transform, stages.cut, stages.patience, stages.clock
        )
        self._lanes = 0
        self._lock = threading.Lock()
        self._crash: BaseException | None = None

    @property
    def peak_bytes(self) -> tuple[int, int]:
        """The most that ever lay in the queue of what was read, and of what was predicted."""
        return self._read.peak_bytes, self._predicted.peak_bytes

    def run(self) -> None:
        """Do it all. Blocks; where ``desk.stop`` is set it ends soon, and all is resumable.

        Raises:
            Exception: a bug of ours, or of a library.
        """
        readers = [
            self._start(f"read-{at}", self._read_splits) for at in range(self._stages.readers)
        ]
        predictors = [
            self._start(f"predict-{at}", self._predictor_loop(copy))
            for at, copy in enumerate(self._predictors)
        ]
        writer = self._start("write", self._write_parts)
        try:
            with ExitStack() as ended_early:
                ended_early.callback(self._desk.stop.set)
                self._join(readers)
                self._read.close()
                self._join(predictors)
                self._predicted.close()
                self._join([writer])
                ended_early.pop_all()
        finally:
            self._abort()
            for thread in (*readers, *predictors, writer):
                thread.join()
        if self._crash is not None:
            raise self._crash

    def _start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except QueueAborted:
                return
            except BaseException as err:  # noqa: BLE001  # it is raised where it is waited for
                self._crash = err
                self._desk.stop.set()

        thread = threading.Thread(target=guarded, name=f"penstock-job-{name}", daemon=True)
        thread.start()
        return thread

    def _join(self, threads: Sequence[threading.Thread]) -> None:
        for thread in threads:
            while thread.is_alive():
                thread.join(_LOOK_S)
                if self._desk.stop.is_set():
                    self._abort()

    def _abort(self) -> None:
        self._read.abort()
        self._predicted.abort()

    def _read_splits(self) -> None:
        while (work := self._desk.take()) is not None:
            with self._lock:
                self._lanes += 1
                attempt = _Attempt(self._lanes, work)
            number = self._read_split(attempt)
            end = _Step(attempt, number, is_end=True)
            self._read.put(end, end.num_bytes)

    def _read_split(self, attempt: _Attempt) -> int:
        """Read until its end, or until it fails; tells how many pieces it was."""
        number = 0
        with _blamed(attempt):
            for piece in self._reader.pieces(attempt.work.split, self._desk.stop):
                step = _Step(attempt, number, piece, tally=piece.tally)
                self._read.put(step, step.num_bytes)
                number += 1
                if attempt.error is not None:
                    break
        return number

    def _predictor_loop(self, predictor: Predictor) -> Callable[[], None]:
        stages = self._stages
        rows = RowPredictor(
            predictor,
            stages.parts.columns,
            stages.cut.batch_rows,
            stages.patience,
            self._desk.stop,
        )

        def loop() -> None:
            while (step := self._read.get()) is not None:
                answer = step if step.is_end else self._answer(step, rows)
                attempt = step.attempt
                self._predicted.put(answer, answer.num_bytes, attempt.lane, step.number)

        return loop

    def _answer(self, step: _Step, rows: RowPredictor) -> _Step:
        """What became of a piece; nothing, where its split has failed."""
        attempt, piece = step.attempt, step.piece
        nothing = _Step(attempt, step.number)
        if piece is None or attempt.error is not None:
            return nothing
        clock, parts = self._stages.clock, self._stages.parts
        started_ns = clock.monotonic_ns()
        self._desk.seen(attempt.work, piece.tally.rows_dropped + len(piece.bad), len(piece.bad))
        answer: Predicted | None = None
        with _blamed(attempt):
            answer = rows.predict(
                piece.rows,
                self._stages.outputs,
                parts.predictors.signature,
                lambda count, dead: self._desk.seen(attempt.work, count, dead),
            )
        if answer is None:
            return nothing
        tally = SplitTally(
            rows_out=sum(batch.num_rows for batch in answer.batches),
            rows_dead=len(answer.dead),
            seconds={"predict": (clock.monotonic_ns() - started_ns) / 1e9},
            predictions=answer.predictions,
        )
        dead = sorted([*piece.bad, *answer.dead], key=lambda bad: bad.row)
        answer = answer._replace(dead=dead)
        return _Step(attempt, step.number, answer=answer, tally=step.tally.plus(tally))

    def _write_parts(self) -> None:
        open_parts: dict[int, PartInProgress] = {}
        try:
            while (step := self._predicted.get()) is not None and not self._desk.stop.is_set():
                self._write(step, open_parts)
        finally:
            for part in open_parts.values():
                part.abort()

    def _write(self, step: _Step, open_parts: dict[int, PartInProgress]) -> None:
        attempt, stages = step.attempt, self._stages
        part = open_parts.get(attempt.lane)
        if part is None:
            part = PartInProgress(stages.parts, attempt.work, stages.outputs.schema, stages.clock)
            open_parts[attempt.lane] = part
        with _blamed(attempt):
            if attempt.error is None and step.answer is not None:
                part.write(step.answer.batches, step.answer.dead, step.tally)
            if attempt.error is None and step.is_end:
                outcome = part.commit()
        if not step.is_end:
            return
        del open_parts[attempt.lane]
        self._predicted.forget(attempt.lane)
        if attempt.error is None:
            self._desk.done(attempt.work, outcome)
        else:
            part.abort()
            self._desk.failed(attempt.work, attempt.error)


@contextmanager
def _blamed(attempt: _Attempt) -> Iterator[None]:
    """What fails within is the failure of this split: a bug of ours, too, so that it is named."""
    try:
        yield
    except QueueAborted:
        raise
    except PenstockError as err:
        attempt.fail(err)
    except Exception as err:  # noqa: BLE001  # a bug of ours, or of a library, ends the job in words
        attempt.fail(broken(err, str(attempt.work.split)))
