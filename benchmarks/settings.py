"""How long and how much: the settings of a run, and the loads of each workload."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace


@dataclass(frozen=True)
class Plan:
    """The loads of one workload; durations in seconds, rates in requests per second.

    `rest` names the connections of the closed loop for each REST encoding, `grpc` pairs of
    (connections, streams on each). The open loop sends at `open_shares` of the arm's own closed
    loop at `peak_connections` in the same round and encoding (the first it speaks), and at
    `common_rate` for all arms.
    """

    rounds: int
    duration_s: float
    rest: dict[str, tuple[int, ...]]
    grpc: tuple[tuple[int, int], ...]
    common_rate: float
    peak_connections: int = 32
    open_shares: tuple[float, ...] = (0.5, 0.8)
    warm_up_s: float = 1.0


PLANS: dict[str, Plan] = {
    "tiny": Plan(
        rounds=5,
        duration_s=1.0,
        rest={"json": (1, 32, 128, 512), "binary": (1, 32, 128)},
        grpc=((1, 1), (1, 32), (1, 128), (32, 1)),
        common_rate=300.0,
    ),
    "image": Plan(
        rounds=3,
        duration_s=1.0,
        rest={"binary": (1, 8, 32)},
        grpc=((1, 1), (1, 32), (32, 1)),
        common_rate=50.0,
    ),
    "minilm": Plan(
        rounds=3,
        duration_s=3.0,
        rest={"json": (1, 32, 128), "binary": (32,)},
        grpc=((1, 32),),
        common_rate=20.0,
    ),
    "gil": Plan(
        rounds=3,
        duration_s=1.0,
        rest={"json": (1, 32, 128)},
        grpc=((1, 1), (1, 32)),
        common_rate=200.0,
    ),
}


@dataclass(frozen=True)
class Settings:
    """What the command line changes, for all workloads alike; None leaves a plan as it is."""

    rounds: int | None = None
    duration_s: float | None = None
    warm_up_s: float | None = None
    open_connections: int = 64
    arrivals: str = "poisson"
    plans: dict[str, Plan] = field(default_factory=lambda: dict(PLANS))

    def plan(self, workload: str) -> Plan:
        """Return the loads of `workload` (a name in PLANS; KeyError otherwise)."""
        changed = {
            name: value
            for name in ("rounds", "duration_s", "warm_up_s")
            if (value := getattr(self, name)) is not None
        }
        return replace(self.plans[workload], **changed)

    def quick(self) -> Settings:
        """Return the same loads with one short round: it shows that things work, no more."""
        return replace(self, rounds=1, duration_s=1.0, warm_up_s=0.5)

    def as_json(self, workload: str) -> dict[str, object]:
        """Return what holds for `workload` as it goes into a result file."""
        found = asdict(self.plan(workload))
        return {**found, "open_connections": self.open_connections, "arrivals": self.arrivals}


def in_words(plan: Plan) -> str:
    """Return how the rounds went, for the head of a page."""
    rounds = "1 round" if plan.rounds == 1 else f"{plan.rounds} rounds"
    return f"{rounds}, arms interleaved, {plan.duration_s:g} s a load"
