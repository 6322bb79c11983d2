"""Orders: where the rollouts and experiments change what all processes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Orders(Protocol):
    """Who changes what all processes share; a Reconciler."""

    async def order(
        self,
        subject: str,
        to: Callable[[Any], Any],
        *,
        who: str,
        why: str,
        may_undo: bool = True,
    ) -> None:
        """Change it in all processes; ``to`` may raise to give up. See ``Reconciler.order``."""
        ...
