"""A stream that crashes at a step: FaultPlan, and a source, a sink and a model that follow it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, ModelFailed
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor, object_array
from penstock.jobs.stream.model import Prediction
from penstock.jobs.stream.record import Produced, Record
from penstock.jobs.stream.source import Lag, OnRevoked, StreamSink, StreamSource


class Crashed(BaseException):
    """The process is gone: nobody catches this."""


class FaultPlan:
    """Crashes at one step, and from then on at each: who is dead does nothing more.

    Args:
        crash_at: the number of the step, from 1 on; 0: none.

    Attributes:
        num_steps: how many there were.
    """

    def __init__(self, crash_at: int = 0) -> None:
        self.num_steps = 0
        self._crash_at = crash_at
        self._is_crashed = False

    def step(self) -> None:
        """Go one step on.

        Raises:
            Crashed: this is the step.
        """
        self.num_steps += 1
        self._is_crashed |= self.num_steps == self._crash_at
        if self._is_crashed:
            raise Crashed


class FaultySource:
    """A ``StreamSource`` that may crash before and behind each call, and between two records that
    are settled.
    """

    def __init__(self, source: StreamSource, plan: FaultPlan) -> None:
        self._source = source
        self._plan = plan

    async def open(self, on_revoked: OnRevoked) -> None:
        """See ``StreamSource``."""
        self._plan.step()
        await self._source.open(on_revoked)

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """See ``StreamSource``."""
        if max_records:
            self._plan.step()
        records = await self._source.poll(max_records, timeout_s)
        if records:
            self._plan.step()
        return records

    async def settle(self, records: Sequence[Record]) -> None:
        """See ``StreamSource``."""
        for record in records:
            self._plan.step()
            await self._source.settle([record])
        self._plan.step()

    async def release(self, records: Sequence[Record]) -> None:
        """See ``StreamSource``."""
        self._plan.step()
        await self._source.release(records)

    async def lag(self) -> Lag:
        """See ``StreamSource``."""
        return await self._source.lag()

    async def close(self) -> None:
        """See ``StreamSource``."""
        self._plan.step()
        await self._source.close()


class FaultySink:
    """A ``StreamSink`` that may crash before, between and behind the results of one write."""

    def __init__(self, sink: StreamSink, plan: FaultPlan) -> None:
        self._sink = sink
        self._plan = plan

    async def open(self) -> None:
        """See ``StreamSink``."""
        self._plan.step()
        await self._sink.open()

    async def write(self, results: Sequence[Produced]) -> None:
        """See ``StreamSink``."""
        for result in results:
            self._plan.step()
            await self._sink.write([result])
        self._plan.step()

    async def close(self) -> None:
        """See ``StreamSink``."""
        self._plan.step()
        await self._sink.close()


SHOUT = ModelSignature(
    (TensorSpec("text", DType.BYTES, (-1,)),), (TensorSpec("loud", DType.BYTES, (-1,)),)
)


class FakeStreamModel:
    """A ``StreamModel`` that shouts: works, fails on texts, refuses rows, and may crash.

    Args:
        plan: its steps; None: it does not crash.
        poison: texts that make a whole call fail.
        refused: texts whose rows are refused.
        turns: by text, how many turns of the loop it takes longer.

    Attributes:
        name: the model's name.
        version: which version answers.
        calls: how many rows each call had.
    """

    name = "shout"

    def __init__(
        self,
        plan: FaultPlan | None = None,
        *,
        poison: frozenset[bytes] = frozenset(),
        refused: frozenset[bytes] = frozenset(),
        turns: Mapping[bytes, int] | None = None,
    ) -> None:
        self.version = 1
        self.calls: list[int] = []
        self._plan = plan or FaultPlan()
        self._poison = poison
        self._refused = refused
        self._turns = turns or {}

    def signature(self) -> ModelSignature:
        """A text in, a text out."""
        return SHOUT

    async def predict(self, inputs: tuple[Tensor, ...]) -> Prediction:
        """Shout."""
        texts: list[bytes] = inputs[0].array.tolist()
        self.calls.append(len(texts))
        self._plan.step()
        for _ in range(max((self._turns.get(text, 0) for text in texts), default=0)):
            await asyncio.sleep(0)
        self._plan.step()
        for text in texts:
            if text in self._poison:
                raise ModelFailed("the model raised")
        invalid = {
            row: InvalidInput(row, "nothing to shout")
            for row, text in enumerate(texts)
            if text in self._refused
        }
        loud = [text.upper() for text in texts if text not in self._refused]
        output = Tensor("loud", DType.BYTES, object_array(loud))
        return Prediction(self.version, (output,), invalid)
