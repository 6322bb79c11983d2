"""Predictor: one copy of a model as jobs call it, by itself: no queue, nobody else's rows."""

from __future__ import annotations

from typing import Protocol

import msgspec

from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult


class ModelIdentity(msgspec.Struct, frozen=True):
    """Which model answers, down to its bytes.

    Attributes:
        name: the model's name.
        version: its version.
        digest: sha256 (hex) of its files and its manifest: another digest, another answer.
    """

    name: str
    version: int
    digest: str


class Predictor(Protocol):
    """One copy. Blocks; one thread at a time."""

    def predict(self, inputs: tuple[Tensor, ...]) -> ExecuteResult:
        """Compute rows, all of them together and with no others.

        Args:
            inputs: tensors that fit the signature, ``[rows, ...]`` each, of the same rows.

        Returns:
            one tensor for each output, of the rows that are not invalid, in order; and the rows
            that the model refused, with why.

        Raises:
            InvalidArgument: the inputs do not fit the signature.
            ModelFailed: the model raised, or answered nonsense; which row did it is not known.
            ModelCrashed, NotReady, Overloaded, DeadlineExceeded: it may succeed later.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class Predictors(Protocol):
    """A model of which copies can be had."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model it is."""
        ...

    @property
    def signature(self) -> ModelSignature:
        """What it takes and gives."""
        ...

    def open(self) -> Predictor:
        """A further copy, loaded and warm. Blocks.

        Raises:
            LoadFailed: it does not load.
        """
        ...

    def close(self) -> None:
        """Give back what its copies share; they are closed before."""
        ...
