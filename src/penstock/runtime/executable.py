"""Executable: one loaded copy of a model, tensors in, tensors out. No threads, no queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from penstock.core.errors import InvalidInput
from penstock.core.messages import Parameter
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor

NO_ROWS_INVALID: Mapping[int, InvalidInput] = {}


class ExecuteResult(msgspec.Struct, frozen=True):
    """What one execution gave.

    Attributes:
        outputs: one tensor per declared output; where the model batches, their rows are those
            of the batch in order, without the invalid ones.
        invalid: the rows that were refused, and why.
    """

    outputs: tuple[Tensor, ...]
    invalid: Mapping[int, InvalidInput] = NO_ROWS_INVALID


class Executable(Protocol):
    """A copy of a model that computes.

    One that knows what it holds in memory may say so in an attribute ``memory_bytes``, which is
    read after the load (see ``declared_bytes``); where it does not, the load is measured.
    """

    @property
    def signature(self) -> ModelSignature:
        """What it takes and gives."""
        ...

    @property
    def inline_safe(self) -> bool:
        """Whether it only computes, so that the event loop may run it."""
        ...

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Compute one batch.

        Args:
            inputs: tensors that fit the signature, of the same number of rows.
            parameters: the request parameters all requests of the batch share.

        Raises:
            Exception: whatever the model raises; the caller turns it into ModelFailed.

        Concurrency: blocks; never called by two threads at once.
        """
        ...

    def close(self) -> None:
        """Give back what it holds. No execution is running."""
        ...


def declared_bytes(copy: object) -> int | None:
    """What an executable, or an instance of one, says it holds in memory; None: it says nothing."""
    declared = getattr(copy, "memory_bytes", None)
    return declared if isinstance(declared, int) else None
