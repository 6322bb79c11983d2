"""EvictionPolicy: which models leave memory when another needs the room. Pure.

Least recently used first, never one that is in use, never one that has only just come, and
nobody for nothing: where all that may go is not enough, nothing goes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Resident(NamedTuple):
    """A model that holds memory and may be loaded again when it is asked for.

    Attributes:
        name: the model's name; unique within the snapshot.
        num_bytes: what unloading it gives back.
        last_used_ns: when a request last asked for it, on the monotonic clock.
        ready_since_ns: when it was last loaded.
        num_users: requests that hold or await it; one that is on its way up or down has one more.
    """

    name: str
    num_bytes: int
    last_used_ns: int
    ready_since_ns: int
    num_users: int = 0


class Verdict(enum.Enum):
    """Whether there will be room."""

    ENOUGH = "enough"  # as soon as what the plan names is gone
    BUSY = "busy"  # not before models that are in use, or have just come, may go
    HOPELESS = "hopeless"  # not even without all of them


class Plan(NamedTuple):
    """What to do for room.

    Attributes:
        verdict: whether there will be room.
        evict: the models to unload now, least recently used first; empty unless ENOUGH.
        look_again_ns: BUSY: when the next protected model may go; None: when a request ends.
        num_busy: BUSY: models that requests hold or await.
        num_young: BUSY: models that are protected because they have just come.
    """

    verdict: Verdict
    evict: tuple[str, ...] = ()
    look_again_ns: int | None = None
    num_busy: int = 0
    num_young: int = 0


def plan_evictions(
    residents: Sequence[Resident], needed_bytes: int, now_ns: int, min_loaded_ns: int
) -> Plan:
    """Choose the models to unload for ``needed_bytes`` more.

    Law: none of the chosen is in use or younger than ``min_loaded_ns``; without any one of them
    it would not be enough; nothing is chosen where all that may go is not enough. Among models of
    one size, the chosen are the least recently used.

    Args:
        residents: every model that could ever be unloaded for this.
        needed_bytes: how much is missing; <= 0: nothing is.
        now_ns: the monotonic clock.
        min_loaded_ns: how long a model stays at least, once it is loaded.
    """
    if needed_bytes <= 0:
        return Plan(Verdict.ENOUGH)
    if sum(one.num_bytes for one in residents) < needed_bytes:
        return Plan(Verdict.HOPELESS)
    idle = [one for one in residents if not one.num_users]
    young = [one for one in idle if now_ns - one.ready_since_ns < min_loaded_ns]
    chosen = _least_recently_used(set(idle).difference(young), needed_bytes)
    if chosen:
        return Plan(Verdict.ENOUGH, tuple(one.name for one in chosen))
    return Plan(
        Verdict.BUSY,
        look_again_ns=min((one.ready_since_ns + min_loaded_ns for one in young), default=None),
        num_busy=len(residents) - len(idle),
        num_young=len(young),
    )


def _least_recently_used(candidates: Iterable[Resident], needed_bytes: int) -> list[Resident]:
    """The shortest run of the least recently used that is enough, without those it can spare."""
    chosen: list[Resident] = []
    total_bytes = 0
    for one in sorted(candidates, key=lambda one: (one.last_used_ns, one.name)):
        chosen.append(one)
        total_bytes += one.num_bytes
        if total_bytes >= needed_bytes:
            break
    else:
        return []
    for one in reversed(tuple(chosen)):
        if total_bytes - one.num_bytes >= needed_bytes:
            chosen.remove(one)
            total_bytes -= one.num_bytes
    return chosen
