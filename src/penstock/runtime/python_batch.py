"""One batch on its way through a Python model: tensors in, stage by stage, tensors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.core.errors import InvalidInput, MalformedAnswer
from penstock.core.messages import Parameter
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.python_signature import StageHints
from penstock.runtime.python_stage import Stage
from penstock.runtime.python_values import columns_in, columns_out, items_in, items_out


class ColumnsBatch:
    """A batch of a model whose first stage takes one array per input.

    Args:
        hints: what the model takes, and what it gives.
        inputs: tensors that fit.
        parameters: what all requests of the batch share.
    """

    def __init__(
        self,
        hints: tuple[StageHints, StageHints],
        inputs: Sequence[Tensor],
        parameters: Mapping[str, Parameter],
    ) -> None:
        first, self._outputs = hints
        self._parameters = parameters
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = columns_in(first, inputs)

    def run(self, stage: Stage) -> None:
        """Take it through the next stage.

        Raises:
            InvalidInput: the stage refused a row.
        """
        self._args, self._kwargs = (stage(self._parameters, *self._args, **self._kwargs),), {}

    def end(self) -> ExecuteResult:
        """What the last stage answered.

        Raises:
            MalformedAnswer: an output is missing, or its numbers are of another kind than declared.
        """
        return ExecuteResult(columns_out(self._outputs, self._args[0]))


class ItemsBatch:
    """A batch of a model whose first stage takes a list of items.

    Law: an item that a stage refuses goes no further, and does so alone.

    Args: as for ``ColumnsBatch``.
    """

    def __init__(
        self,
        hints: tuple[StageHints, StageHints],
        inputs: Sequence[Tensor],
        parameters: Mapping[str, Parameter],
    ) -> None:
        first, self._outputs = hints
        self._parameters = parameters
        self._values: list[Any] = list(items_in(first, inputs))
        self._rows = list(range(len(self._values)))
        self._invalid: dict[int, InvalidInput] = {}
        self._keep_valid()

    def run(self, stage: Stage) -> None:
        """Take what is left of it through the next stage.

        When the stage raises InvalidInput, that item is dropped and the stage called with the
        others.

        Raises:
            MalformedAnswer: it answered with a wrong number of items, or refused one that is none.
        """
        while self._values:
            try:
                answer = list(stage(self._parameters, self._values))
            except InvalidInput as err:
                self._drop(stage, err)
                continue
            if len(answer) != len(self._values):
                raise MalformedAnswer(
                    f"{stage.name} was given {len(self._values)} items "
                    f"and answered with {len(answer)}"
                )
            self._values = answer
            self._keep_valid()
            return

    def end(self) -> ExecuteResult:
        """What the last stage answered, and which rows were refused.

        Raises:
            MalformedAnswer: the numbers of an output are of another kind than declared.
        """
        return ExecuteResult(items_out(self._outputs, self._values), self._invalid)

    def _drop(self, stage: Stage, error: InvalidInput) -> None:
        if not 0 <= error.index < len(self._values):
            raise MalformedAnswer(
                f"{stage.name} refused item {error.index} of a batch of {len(self._values)}"
            ) from error
        self._invalid[self._rows[error.index]] = error
        self._values = [v for i, v in enumerate(self._values) if i != error.index]
        self._rows = [r for i, r in enumerate(self._rows) if i != error.index]

    def _keep_valid(self) -> None:
        """Take out what is an InvalidInput in the place of an item."""
        kept = [i for i, v in enumerate(self._values) if not isinstance(v, InvalidInput)]
        if len(kept) == len(self._values):
            return
        for row, value in zip(self._rows, self._values, strict=True):
            if isinstance(value, InvalidInput):
                self._invalid[row] = value
        self._values = [self._values[i] for i in kept]
        self._rows = [self._rows[i] for i in kept]
