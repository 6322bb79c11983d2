"""Source and Target: who says which versions should be there, and who is told.

Level-triggered, never edge-triggered: each telling is the whole truth of that Source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from penstock.core.errors import PenstockError
from penstock.core.ids import ServableId
from penstock.core.loader import Loader

T_contra = TypeVar("T_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)


class AspiredVersion(msgspec.Struct, frozen=True):
    """One version that should serve, as a value or as an error travelling as data.

    Attributes:
        id: the version.
        revision: a fingerprint of its artifact and configuration: the same id with another
            revision is loaded afresh and replaces the old one without a gap.
        loader: how to load it; None when ``error`` is set.
        error: why it cannot even be tried (corrupt manifest, no artifact); None when all is well.
        of_model: whether the error is the whole model's, of which no version is known: the
            number means nothing then. Whoever says so has logged the error.
    """

    id: ServableId
    revision: str
    loader: Loader | None = None
    error: PenstockError | None = None
    of_model: bool = False


class AspiredModel(msgspec.Struct, frozen=True):
    """Everything that should be true of one model.

    Attributes:
        name: the model's name.
        versions: the versions that should serve, no two of one number; empty: none.
        labels: version label to version number.
        on_demand: whether it is in memory only when it is asked for and there is room; False: as
            long as it is told.
    """

    name: str
    versions: tuple[AspiredVersion, ...] = ()
    labels: Mapping[str, int] = msgspec.field(default_factory=dict)
    on_demand: bool = False


class Target(Protocol[T_contra]):
    """Who a Source tells."""

    def set_aspired(self, models: Sequence[T_contra]) -> None:
        """Take these models as the whole truth; a model not named is wanted no more.

        Concurrency: called on the event loop's thread; returns at once.
        """
        ...


class Source(Protocol[T_co]):
    """Watches where models come from and tells its Target what is, or should be, there."""

    async def run(self, target: Target[T_co]) -> None:
        """Tell ``target`` now, and again on each change, until cancelled.

        An error of one model or version travels as data in what is told and stops nothing.
        """
        ...
