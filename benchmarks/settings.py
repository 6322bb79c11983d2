"""Settings of one benchmark run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Settings:
    """How long and how much; durations in seconds, rates in requests per second.

    `open_shares` are fractions of the arm's own peak at 32 connections in the same round;
    `common_rate` is one rate for all arms; `open_ceiling` caps both, because the generator shares
    the machine with the server.
    """

    rounds: int = 5
    duration_s: float = 5.0
    warm_up_s: float = 1.0
    connections: tuple[int, ...] = (1, 32, 128)
    peak_connections: int = 32
    streams: tuple[int, ...] = (1, 32)
    open_shares: tuple[float, ...] = (0.5, 0.8)
    common_rate: float = 300.0
    open_connections: int = 64
    open_ceiling: float = 6000.0
    arrivals: str = "poisson"

    def quick(self) -> Settings:
        """Return the same loads with one short round: it shows that things work, no more."""
        return replace(self, rounds=1, duration_s=1.0, warm_up_s=0.5)

    def in_words(self) -> str:
        """Return how the rounds went, for the head of a page."""
        rounds = "1 round" if self.rounds == 1 else f"{self.rounds} rounds"
        return f"{rounds}, arms interleaved, {self.duration_s:g} s a load"

    def as_json(self) -> dict[str, object]:
        """Return the settings as they go into a result file."""
        return asdict(self)
