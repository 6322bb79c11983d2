"""StreamModel: what a stream asks for its predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from penstock.core.errors import InvalidInput
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.runtime.executable import NO_ROWS_INVALID


class Prediction(msgspec.Struct, frozen=True):
    """What a model says of some rows.

    Attributes:
        version: the version that answered.
        outputs: one tensor per output, of the rows that are not invalid, in order.
        invalid: the rows that were refused, and why.
        variant: of the model's route; "": there is none.
    """

    version: int
    outputs: tuple[Tensor, ...]
    invalid: Mapping[int, InvalidInput] = NO_ROWS_INVALID
    variant: str = ""


class StreamModel(Protocol):
    """A model that may be replaced by a newer version while a stream runs. On one event loop."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    def signature(self) -> ModelSignature:
        """What the version takes and gives that answers now.

        Raises:
            NotFound, NotReady: none does.
        """
        ...

    async def predict(self, inputs: tuple[Tensor, ...]) -> Prediction:
        """Predict rows; several calls may be under way.

        Args:
            inputs: tensors ``[rows, ...]`` each, of the same rows.

        Raises:
            InvalidArgument: the inputs do not fit the signature.
            ModelFailed: the model raised; which row did it is not known.
            ModelCrashed, DeadlineExceeded: it may succeed later, if no row is the reason.
            NotFound, NotReady, Overloaded: it may succeed later; no row is the reason.
        """
        ...
