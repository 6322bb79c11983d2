"""What the supervisor writes down of a serving process that died."""

from __future__ import annotations

import logging
import os

from penstock.app.processes.this_host import this_host
from penstock.core.clock import SystemClock
from penstock.rollout.sign_off import fail_rollouts, is_route
from penstock.server.share import is_job
from penstock.stores.control_store import ControlStore, ServingProcess, Wish

_log = logging.getLogger("penstock.control")

_LIVE_S = 5.0
_EVER_S = 1e9


async def sign_off(store: ControlStore, process_id: str, number: int) -> list[str]:
    """The others need not wait for a process that died, and what it died of is taken back.

    A change that a process was applying when it died is taken back in all: what kills one
    process kills the others, and would kill each that is started in its place. A change
    that takes another back stays: what was before it is known to be bad. So does a route's, of
    which no process dies; a rollout whose candidate it was loading fails. So does a batch job's,
    which runs in a process of its own.

    Args:
        store: what all share.
        process_id: the process.
        number: its place.

    Returns:
        the subjects of the changes that were taken back.

    Raises:
        StoreError: the store cannot be asked.
    """
    taken_back = []
    for subject, revision in await store.abandoned(process_id):
        if is_route(subject) or is_job(subject):
            continue
        history = await store.history(subject)
        if any(one.undoes for one in history if one.revision == revision):
            continue
        before = [one for one in history if one.revision < revision]
        value = before[0].value if before else None
        why = f"process {number} died while it applied change {revision} of '{subject}'"
        wish = Wish(subject, value, "supervisor", why, undoes=revision)
        if await store.change(wish, expected=revision) is not None:
            taken_back.append(subject)
    now_ms = SystemClock().wall_ns() // 1_000_000
    for model in await fail_rollouts(store, process_id, number, now_ms):
        _log.error("the rollout of '%s' has failed: process %d died of it", model, number)
    await store.leave(process_id)
    return taken_back


async def sign_off_lost(store: ControlStore) -> None:
    """At the start of a server: sign off what an earlier one has left behind, and say so.

    A process is lost if it has not said for 5 s that it lives, or is there no longer. That one of
    another host is there no longer cannot be seen: it is lost after 5 s.

    Args:
        store: what all share.

    Raises:
        StoreError: the store cannot be asked.
    """
    known = [one.process for one in await store.standings("", _EVER_S)]
    recent = {one.process.id for one in await store.standings("", _LIVE_S)}
    for process in known:
        if process.id in recent and _is_there(process):
            continue
        for subject in await sign_off(store, process.id, process.number):
            _log.error("%s is taken back: process %d died of it", subject, process.number)


def _is_there(process: ServingProcess) -> bool:
    """Whether somebody has its pid; it is not this process, which nobody knows yet. Nobody here
    knows that of another host's.
    """
    if process.host and process.host != this_host():
        return True
    if process.pid in (0, os.getpid()):
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
