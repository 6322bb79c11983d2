"""One runtime's model, bare and served."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

BATCH_ROWS = 32


@dataclass(frozen=True)
class Engine:
    """A saved model, and the framework's own way to run a batch of it.

    Attributes:
        inputs: a batch of `BATCH_ROWS` rows, by input name.
        run: computes that batch with one thread, as the framework does by itself.
        manifest: what its model.yaml says besides batch size and threads.
    """

    inputs: Mapping[str, NDArray[Any]]
    run: Callable[[], object]
    manifest: Mapping[str, object] = field(default_factory=dict)
