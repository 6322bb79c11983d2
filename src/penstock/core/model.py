"""penstock.Model: the class a user writes around a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

import numpy as np

from penstock.core.tensor import Array


class ModelClient(Protocol):
    """How a Python model calls another model of the same server.

    Concurrency: blocks; any thread but the event loop's.
    """

    def infer(self, model: str, /, *, version: str = "", **inputs: Any) -> dict[str, Array]:
        """Predict with another model.

        Args:
            model: its name.
            version: a version number or label; "": the newest that is ready.
            inputs: one array (or nested list) per input name.

        Returns:
            one array per output name; BYTES come as object arrays of ``bytes``.

        Raises:
            NotReady, Overloaded, DeadlineExceeded: the other model does not serve now, is busy,
                or did not answer in the time of the requests that are being computed.
            ModelFailed: it failed, is not there, or was asked wrongly.
        """
        ...


@dataclass(frozen=True)
class ModelContext:
    """What a model is given when it loads.

    Attributes:
        name: the model's name.
        version: its version.
        path: the folder of this version, where its files are.
        device: where to compute, for example ``cpu`` or ``cuda:0``.
        options: the manifest's ``runtime_options``.
        client: how to call other models of this server.
    """

    name: str
    version: int
    path: Path
    device: str
    client: ModelClient
    options: dict[str, Any] = field(default_factory=dict)


class Model:
    """A model in Python: override ``predict``, and what else you need.

    The type hints of the first stage's parameters are the inputs, those of the last stage's
    return value the outputs. Two styles, told apart by the hints:

    *Columns.* Parameters are arrays, one per input, rows first; the answer is an array or a
    dict of arrays::

        class Scale(penstock.Model):
            def predict(self, x: Rows["FP32", 4]) -> Rows["FP32", 4]:
                return x * 2

    *Items.* The first stage takes one ``list`` and gives one list of the same length. An item is
    a ``str``, ``bytes``, number, or a pydantic model, dataclass, msgspec Struct or TypedDict,
    whose fields are the inputs::

        class Shout(penstock.Model):
            def predict(self, text: list[str]) -> list[str]:
                return [t.upper() for t in text]

    Batching needs no change to the code: a call gets the rows of as many requests as waited.
    One wrong item is refused alone: ``raise InvalidInput(index, "why")``, or put an
    ``InvalidInput`` in its place in the returned list.

    Attributes:
        inline_safe: set True where ``predict`` only computes (no I/O, no calls to other models):
            it may then run on the event loop itself when it is measured to be fast enough.
        memory_bytes: what one instance holds in memory, where the model knows; may be set in
            ``load``. None: it is measured, where that can be done.
    """

    inline_safe: ClassVar[bool] = False
    memory_bytes: int | None = None

    def load(self, context: ModelContext) -> None:
        """Load what the model needs; called once per instance, before it is ready."""

    def close(self) -> None:
        """Give back what ``load`` took; called once when the version is unloaded."""


@dataclass(frozen=True)
class TensorHint:
    """Datatype and shape of an array hint.

    Attributes:
        dtype: an Open Inference datatype, such as ``FP32``.
        dims: the dimensions after the batch dimension; -1: any size; (): one number per row.
    """

    dtype: str
    dims: tuple[int, ...]


if TYPE_CHECKING:
    Rows = Annotated[np.ndarray, ...]
else:

    class Rows:
        """A type hint for an array of rows: ``Rows["FP32", 64]`` is ``[rows, 64] float32``.

        ``Rows["INT64"]`` is one number per row; a dimension of -1 may have any size.
        """

        def __class_getitem__(cls, item: object) -> object:
            dtype, *dims = item if isinstance(item, tuple) else (item,)
            return Annotated[np.ndarray, TensorHint(str(dtype), tuple(dims))]
