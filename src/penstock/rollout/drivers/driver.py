"""TrafficDriver: a traffic splitter outside of this program that a rollout moves."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Weights(NamedTuple):
    """How requests are shared out.

    Attributes:
        stable, candidate: percent of the requests, summing to 100.
    """

    stable: float
    candidate: float


class Splitter(NamedTuple):
    """What a splitter says of itself.

    Attributes:
        weights: what it was told to do.
        in_force: whether it does so by now.
        fault: why requests for the candidate cannot be answered, in one sentence; "": they can.
    """

    weights: Weights
    in_force: bool = True
    fault: str = ""


class TrafficDriver(Protocol):
    """Reads and sets the weights of two variants somewhere.

    Law: setting what is set already changes nothing. What else is configured there stays.

    Each call raises NotReady where nobody answers or the answer has to be tried for again,
    ConfigError where the thing named is not there or not what it has to be, and
    DeadlineExceeded where it takes too long.
    """

    async def get(self) -> Splitter:
        """How requests are shared out now."""
        ...

    async def set(self, weights: Weights) -> None:
        """Share requests out so; returns when that is written down."""
        ...
