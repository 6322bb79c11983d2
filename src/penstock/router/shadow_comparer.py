"""ShadowComparer: makes one shadow's comparison, on the event loop where that takes no time."""

from __future__ import annotations

from collections.abc import Container
from functools import partial
from typing import NamedTuple

from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.errors import InvalidArgument, PenstockError
from penstock.core.messages import InferResponse
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.router.compare import (
    AUTO,
    COMPARISONS,
    RowComparison,
    check_permitted,
    choose,
    compare,
    load_comparison,
)
from penstock.router.compare_rows import Compared
from penstock.router.route import Shadow

_HERE_ELEMENTS = 16_384
"""So many elements are compared in some 50 us."""


class Pair(NamedTuple):
    """One output of both versions.

    Attributes:
        primary: what the client got.
        shadow: what the shadow answered.
    """

    primary: Tensor
    shadow: Tensor


def pick(outputs: tuple[Tensor, ...], answer: InferResponse) -> Pair:
    """The first output of the primary's that the shadow has, too.

    Raises:
        InvalidArgument: there is none.
    """
    answered = {one.name: one for one in answer.outputs}
    for output in outputs:
        if output.name in answered:
            return Pair(output, answered[output.name])
    raise InvalidArgument(
        f"no output in common: the primary gave {[one.name for one in outputs]}, "
        f"the shadow {list(answered)}"
    )


class ShadowComparer:
    """Compares as a route's shadow says.

    A user's own comparison is imported and run on threads: nobody knows how long it takes.

    Args:
        shadow: the shadow.
        own: the functions that it may be told to compare with.

    Attributes:
        name: the comparison that is made; "": ``auto``, and it has not been chosen yet.
        is_ready: whether it can be made.
        fault: why it never will be; "": it will.
    """

    def __init__(self, shadow: Shadow, own: Container[str]) -> None:
        self._permitted = own
        self._tolerance = shadow.tolerance
        self._wanted = shadow.compare
        self._own: RowComparison | None = None
        self.name = "" if shadow.compare == AUTO else shadow.compare
        self.is_ready = shadow.compare in (AUTO, *COMPARISONS)
        self.fault = ""

    async def load(self) -> None:
        """Import what is not ready; where that fails, the text becomes the ``fault``."""
        try:
            check_permitted(self._wanted, self._permitted)
            work = partial(load_comparison, self._wanted)
            self._own = await on_daemon_thread(work, "penstock-compare-import")
            self.is_ready = True
        except PenstockError as err:
            self.fault = err.message

    async def compare(self, pair: Pair, signature: ModelSignature) -> Compared:
        """Compare two answers.

        Args:
            pair: the output.
            signature: the shadow's.

        Raises:
            Exception: whatever the comparison raises.
        """
        if not self.name:
            spec = signature.output(pair.primary.name)
            labels = () if spec is None else spec.labels
            self.name = choose(pair.primary, labels, is_batched=signature.batched)
        comparison = self._own or COMPARISONS[self.name]
        work = partial(
            compare,
            comparison,
            pair.primary,
            pair.shadow,
            self._tolerance,
            is_batched=signature.batched,
        )
        if self._own is None and pair.primary.array.size <= _HERE_ELEMENTS:
            return work()
        return await on_daemon_thread(work, "penstock-compare")
