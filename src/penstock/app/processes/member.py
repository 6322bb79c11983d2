"""Member: what makes a serving process one of several, or one that keeps its desired state."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from penstock.app.build import Assembly
from penstock.app.processes.control_setting import check_store, open_control
from penstock.app.processes.handover import Go, Handover
from penstock.app.processes.supervisor_link import SupervisorLink
from penstock.app.processes.this_host import this_host
from penstock.app.settings import Settings
from penstock.app.traffic import FORGOTTEN, Joined
from penstock.lifecycle.reconciler import Reconciler
from penstock.server.share import routed_model, socket_path
from penstock.server.shared_state import SharedState
from penstock.server.siblings import SiblingDoor, SiblingProcesses
from penstock.stores.control_store import Change, ControlStore, ServingProcess

_log = logging.getLogger("penstock.control")

_LEAVE_S = 2.0


class Place(msgspec.Struct, frozen=True):
    """Where a member stands among the others.

    Attributes:
        process: this process.
        folder: the private folder with the sockets of all; None: there are no others.
        opens_late: whether it takes connections only when its models and those of all others
            are loaded.
        deaths: serving processes that have died before.
        companions: what the supervisor's companions have to say, by name.
        control_url: where the control store is.
    """

    process: ServingProcess
    folder: Path | None = None
    opens_late: bool = False
    deaths: int = 0
    companions: Mapping[str, str] = MappingProxyType({})
    control_url: str = ""


class Member:
    """One process that follows the shared state, and answers for all.

    Args:
        settings: of the server.
        place: where it stands.
        store: what all share; closed here.
        link: to the supervisor; None: there is none.

    Attributes:
        place: the same.
        num_processes: how many there are, once the start is over.
        announces: whether this one tells people what is served, once the start is over.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self, settings: Settings, place: Place, store: ControlStore, link: SupervisorLink | None
    ) -> None:
        self.place = place
        self.num_processes = 1
        self.announces = link is None
        self._settings = settings
        self._store = store
        self._link = link
        self._state: SharedState | None = None
        self._reconciler: Reconciler | None = None
        self._door: SiblingDoor | None = None
        self._begun: Sequence[Change] = ()
        self._follow_traffic: Callable[[], None] = lambda: None

    async def begin(self, assembly: Assembly, stopped: asyncio.Event) -> None:
        """Join the others, and start with what is desired; before the models are looked at.

        Args:
            assembly: the parts of this process.
            stopped: set when the supervisor is gone.

        Raises:
            StoreError: the control store cannot be asked.
        """
        service, settings, traffic = assembly.service, self._settings, assembly.traffic
        self._state = SharedState(
            assembly.control,
            lambda: assembly.api().live,
            settings.load_models,
            is_explicit=settings.model_control == "explicit",
            book=lambda: traffic.book,
        )
        state = self._state

        async def apply(change: Change) -> None:
            if routed_model(change.subject) is not None:
                await traffic.prepare()
            await state.apply(change)

        self._reconciler = Reconciler(
            self._store, self.place.process, apply, tell_up=service.edge.tell_store
        )
        self._follow_traffic = traffic.follow
        place = self.place
        notes = () if settings.control_store else (FORGOTTEN,)
        me, url = place.process.id, place.control_url
        traffic.join(Joined(self._store, self._reconciler, me, url, place.folder, notes))
        self._begun = await self._reconciler.begin()
        self._state.resume(self._begun)
        service.share = self._reconciler
        if self.place.folder is not None:
            number, folder = self.place.process.number, self.place.folder
            service.siblings = SiblingProcesses(folder, number, service.edge)
            path = socket_path(folder, number)
            self._door = SiblingDoor(path, service, lambda: assembly.api().page.families())
            await self._door.open()
        service.edge.process_deaths = self.place.deaths

        def on_deaths(count: int) -> None:
            service.edge.process_deaths = count

        if self._link is not None:
            self._link.listen(on_deaths, stopped.set)

    async def follow(self) -> None:
        """The models are loaded: catch up with the shared state, and follow it from now on."""
        if self._state is not None and self._reconciler is not None:
            await self._reconciler.follow(self._state.failed(self._begun))
            self._follow_traffic()

    async def started(self) -> None:
        """This process has come up: wait until all others have."""
        if self._link is not None:
            go: Go = await self._link.up()
            self.num_processes, self.announces = go.num_processes, go.announces

    async def leave(self) -> None:
        """Follow and answer no longer; before this process drains, and once more is no error.

        Where the store takes too long it is left alone: requests wait for the drain.
        """
        if self._door is not None:
            await self._door.close()
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._leave_store()
        except TimeoutError:
            _log.warning("the control store takes too long: the others are not told of this end")

    async def _leave_store(self) -> None:
        reconciler, self._reconciler = self._reconciler, None
        if reconciler is not None:
            await reconciler.close()
        await self._store.close()


async def lone_member(settings: Settings) -> Member:
    """The member of a server of one process that keeps its desired state.

    Raises:
        ConfigError: the setting ``control_store`` is wrong, or that store cannot be used.
    """
    url = settings.control_store
    store = open_control(url, is_new=True)
    await check_store(store, url)
    return Member(settings, Place(new_process(0), control_url=url), store, None)


def supervised_member(handover: Handover, settings: Settings, link: SupervisorLink) -> Member:
    """The member that a supervisor has started."""
    place = Place(
        ServingProcess(handover.id, handover.number, os.getpid(), this_host()),
        Path(handover.folder),
        handover.opens_late,
        handover.deaths,
        handover.companions,
        handover.control_url,
    )
    return Member(settings, place, open_control(handover.control_url, is_new=False), link)


def new_process(number: int) -> ServingProcess:
    """This process as one that never was before."""
    return ServingProcess(uuid.uuid4().hex[:12], number, os.getpid(), this_host())
