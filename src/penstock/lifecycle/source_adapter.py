"""ModelControl: stands between what is stored and the Manager, and says what should serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

import msgspec

from penstock.core.errors import FailedPrecondition, LoadFailed, NotFound, PenstockError
from penstock.core.loader import Loader
from penstock.core.source import AspiredModel
from penstock.core.status import VersionState, VersionStatus
from penstock.lifecycle.aspiration import (
    add_held,
    aspire,
    check_model_name,
    only_held,
    override_manifest,
    unservable,
)
from penstock.lifecycle.managed_target import ManagedTarget
from penstock.lifecycle.model_index import IndexRow, build_index
from penstock.lifecycle.tasks import Tasks
from penstock.repository.artifact import ArtifactRef, StoredModel
from penstock.repository.manifest import Manifest

_log: Final = logging.getLogger("penstock.lifecycle")

EVERY_MODEL = "*"
"""Among the initial names: all that is stored."""

ControlMode = Literal["watch", "explicit", "none"]
"""Who says what serves: what is stored, an operator's calls, or what is stored at the start."""

Override: TypeAlias = "Callable[[Manifest], Manifest]"
"""Makes of the stored manifest the one to serve with; raises ConfigError where it cannot."""


class _Wanted(NamedTuple):
    """One model that should serve.

    Attributes:
        aspired: what the Manager is told.
        stored: what that was made of, its manifest the one it is served with; None: it is an
            error, and nothing of it is known.
        held: the versions that were held then.
    """

    aspired: AspiredModel
    stored: StoredModel | None = None
    held: frozenset[int] = frozenset()


class ModelControl:
    """A Target of what is stored that feeds a Target of what should serve.

    In the modes ``watch`` and ``none`` everything stored is aspired, as its version policy says.
    In the mode ``explicit`` nothing is, until it is asked for by ``load``; what then changes on
    disk takes effect at the next ``load``. With ``on_demand``, what is aspired is loaded when it
    is asked for, by a request or by ``load``, unless its manifest says ``keep_loaded``.

    Law: of a model that should serve, the versions that are held should, too, in every mode.

    Args:
        target: the Manager.
        make_loader: makes the loader of an artifact; cheap, loads nothing; a PenstockError it
            raises is that version's error.
        mode: who says what serves.
        initial: explicit mode: names to load at the start, ``*`` for all.
        scan: looks at what is stored just now; asked before each explicit load, one call at a
            time; None: the last truth told is believed.
        on_demand: whether models are loaded when they are asked for.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self,
        target: ManagedTarget,
        make_loader: Callable[[ArtifactRef], Loader],
        mode: ControlMode,
        *,
        initial: Sequence[str] = (),
        scan: Callable[[], Awaitable[Sequence[StoredModel]]] | None = None,
        on_demand: bool = False,
    ) -> None:
        self._target = target
        self._make_loader = make_loader
        self._mode = mode
        self._initial = tuple(initial)
        self._unwanted: frozenset[str] = frozenset()
        self._overrides: Mapping[str, Override] = {}
        self._scan = scan
        self._on_demand = on_demand
        self._scan_lock = asyncio.Lock()
        self._stored: dict[str, StoredModel] = {}
        self._wanted: dict[str, _Wanted] = {}
        self._held: dict[str, frozenset[int]] = {}
        self._tasks = Tasks()
        self._outcomes: dict[str, list[VersionStatus]] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def set_aspired(self, models: Sequence[StoredModel]) -> None:
        """Take these models as the whole truth of what is stored."""
        self._remember(models)
        if self._mode == "explicit":
            self._want_initial()
        else:
            self._wanted = {model.name: self._want_stored(model) for model in models}
        self._tell()

    def hold(self, name: str, versions: frozenset[int]) -> None:
        """Let these versions of a model serve beside those that its version policy chooses.

        It holds as long as the model should serve at all, and again when it should once more. A
        version that is not stored is the only one to fail: its status says so. In the modes
        ``explicit`` and ``none``, where nobody looks for it, what is stored is looked at once.

        Args:
            name: the model's name, known or not.
            versions: all that are held of it from now on; what is not among them is let go.
        """
        if versions == self._held.get(name, frozenset()):
            return
        self._held[name] = versions
        if not versions:
            del self._held[name]
        self._want_again(name)
        is_unwatched = self._mode != "watch" and self._scan is not None
        if is_unwatched and name in self._wanted and not self._has_all(name, versions):
            self._tasks.spawn(self._look_for(name), f"look for held versions of {name}")

    def resume(self, loaded: Mapping[str, Override | None], unloaded: Iterable[str] = ()) -> None:
        """Begin where another process has ended: what was ordered by hand wins over the initial
        names. In the mode ``explicit``, before anything is aspired.

        Args:
            loaded: names to load at the start, and what their manifests are replaced with.
            unloaded: names not to load at the start.
        """
        self._unwanted = frozenset(unloaded)
        self._overrides = {name: one for name, one in loaded.items() if one is not None}
        kept = (name for name in self._initial if name not in self._unwanted)
        self._initial = tuple(dict.fromkeys((*kept, *loaded)))

    async def load(self, name: str, override: Override | None = None) -> None:
        """Load a model, or load it afresh where its files or its manifest have changed.

        Law: it ends with every version that the policy chooses ready, or with nothing changed:
        what served before a load that failed serves after it. Loads and unloads of one model
        run one after the other.

        Args:
            name: the model's name.
            override: what is served with in place of the stored manifest until the next load;
                None: the stored one.

        Raises:
            FailedPrecondition: the mode forbids it.
            ConfigError: the override is wrong.
            InvalidArgument: no model can have this name.
            LoadFailed: it is not stored, has no version, or a version of it cannot be loaded.
            asyncio.CancelledError: the caller went away; the load goes on.
        """
        self.check_request(name)
        async with self._lock(name):
            await self._look()
            wanted = self._find(name, override)
            before = self._wanted.get(name)
            had_failed = bool(self._target.failures(name))
            self._wanted[name] = wanted
            self._outcomes.pop(name, None)
            self._tell()
            if had_failed:
                self._target.retry_failed(name)
            await self._wait_loaded(name)
            if (error := self._failure(wanted)) is not None:
                self._restore(name, before)
                raise error

    async def unload(self, name: str) -> None:
        """Unload all versions of a model and wait until they are gone, requests included.

        A model that is not loaded, or not known, is no error.

        Raises:
            FailedPrecondition: the mode forbids it.
            InvalidArgument: no model can have this name.
        """
        self.check_request(name)
        async with self._lock(name):
            self._initial = tuple(one for one in self._initial if one != name)
            self._unwanted |= {name}
            if self._wanted.pop(name, None) is None:
                return
            self._outcomes[name] = [
                status._replace(state=VersionState.UNLOADED, reason="unloaded")
                for status in self._target.statuses(name)
            ]
            self._tell()
            await self._target.wait_settled([name])

    def manifest(self, name: str) -> Manifest:
        """The stored manifest of a model; the default one where it is not stored."""
        stored = self._stored.get(name)
        return Manifest() if stored is None else stored.manifest

    def failure(self, name: str) -> LoadFailed | None:
        """Why a model that should serve does not, or not yet; None: it does, or should not."""
        wanted = self._wanted.get(name)
        return None if wanted is None or wanted.aspired.on_demand else self._failure(wanted)

    def index(self) -> list[IndexRow]:
        """Everything stored and everything loaded, by name and version."""
        return build_index(self._stored, self._target.statuses(), self._outcomes)

    def _remember(self, models: Sequence[StoredModel]) -> None:
        for model in models:
            before = self._stored.get(model.name)
            was = None if before is None or before.error is None else before.error.message
            now = None if model.error is None else model.error.message
            if now is not None and now != was:
                _log.error("model '%s': %s", model.name, now)
            elif now is None and was is not None:
                _log.info("model '%s': it is mended: %s", model.name, was)
        self._stored = {model.name: model for model in models}
        self._outcomes = {
            name: outcome for name, outcome in self._outcomes.items() if name in self._stored
        }

    def _want_initial(self) -> None:
        """Want the initial names that are stored; the others may still be settling."""
        wanted = {*self._initial, *(self._stored if EVERY_MODEL in self._initial else ())}
        for name in self._stored:
            if name in wanted and name not in self._wanted and name not in self._unwanted:
                self._want(name)
        if EVERY_MODEL not in self._initial:
            self._initial = tuple(name for name in self._initial if name not in self._stored)

    def end_initial(self) -> None:
        """The start is over: an initial name that is still not stored is an error."""
        names, self._initial = self._initial, ()
        missing = [name for name in names if name != EVERY_MODEL]
        if self._mode == "explicit" and missing:
            for name in missing:
                self._want(name)
            self._tell()

    def _want(self, name: str) -> None:
        try:
            self._wanted[name] = self._find(name, self._overrides.get(name))
        except PenstockError as error:
            stored = self._stored.get(name)
            if stored is None or stored.error is None:  # that one was logged when it was told
                _log.error("%s", error.message)
            self._wanted[name] = _Wanted(unservable(name, error))

    def _want_again(self, name: str) -> None:
        """Other versions of a model are held now; what is served of the others stays as it is."""
        wanted = self._wanted.get(name)
        if wanted is not None and wanted.stored is not None:
            self._wanted[name] = self._want_stored(wanted.stored)
            self._tell()

    def _has_all(self, name: str, versions: frozenset[int]) -> bool:
        """Whether these versions were stored when that was last looked at."""
        stored = self._stored.get(name)
        return stored is not None and versions <= {one.id.version for one in stored.versions}

    async def _look_for(self, name: str) -> None:
        """Look at what is stored for versions that are held."""
        await self._look()
        self._want_again(name)

    def _tell(self) -> None:
        self._target.set_aspired([wanted.aspired for wanted in self._wanted.values()])

    def check_request(self, name: str) -> None:
        """Refuse a load or unload by hand that can never be.

        Raises:
            FailedPrecondition: the mode forbids it.
            InvalidArgument: no model can have this name.
        """
        if self._mode == "watch":
            raise FailedPrecondition(
                "explicit model load / unload is not allowed if polling is enabled"
            )
        if self._mode == "none":
            raise FailedPrecondition(
                "explicit model load / unload is not allowed if model control is off"
            )
        check_model_name(name)

    def _lock(self, name: str) -> asyncio.Lock:
        """The lock of one name; it goes away when nobody holds or awaits it."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    async def _look(self) -> None:
        if self._scan is not None:
            async with self._scan_lock:
                self._remember(await self._scan())

    def _find(self, name: str, override: Override | None) -> _Wanted:
        """What should serve of a stored model.

        Raises:
            LoadFailed: there is nothing to load.
            ConfigError: the override is wrong.
        """
        stored = self._stored.get(name)
        if stored is None:
            raise LoadFailed(f"failed to load '{name}', failed to poll from model repository")
        if stored.error is not None:
            raise LoadFailed(f"failed to load '{name}', {stored.error.message}")
        manifest = None if override is None else override(stored.manifest)
        try:
            chosen = stored if manifest is None else override_manifest(stored, manifest)
        except PenstockError as error:
            raise LoadFailed(f"failed to load '{name}', {error.message}") from error
        wanted = self._want_stored(chosen)
        if all(isinstance(one.error, NotFound) for one in wanted.aspired.versions):
            raise LoadFailed(f"failed to load '{name}', no version is available")
        return wanted

    def _want_stored(self, stored: StoredModel) -> _Wanted:
        """What should serve of a model, what is held of it included."""
        held = self._held.get(stored.name, frozenset[int]())
        newer = self._stored.get(stored.name, stored)
        aspired = aspire(stored, self._make_loader)
        aspired = add_held(aspired, (stored, newer), held, self._make_loader)
        on_demand = self._on_demand and not stored.manifest.keep_loaded
        return _Wanted(msgspec.structs.replace(aspired, on_demand=on_demand), stored, held)

    async def _wait_loaded(self, name: str) -> None:
        """Wait until a model is loaded or has failed, whether it is loaded on demand or always."""
        demanded = self._target.demand(name, is_urgent=True)
        try:
            await self._target.wait_loaded([name])
        finally:
            if demanded is not None:
                self._target.forgo(demanded)

    def _failure(self, wanted: _Wanted) -> LoadFailed | None:
        """Why a load that has ended is no success; None: it is one.

        A version that is there only because it is held is not what was asked for.
        """
        aspired, name = wanted.aspired, wanted.aspired.name
        ready, beside = self._target.ready_versions(name), frozenset[int]()
        if wanted.stored is not None:
            beside = only_held(wanted.stored, self._held.get(name, ()))
        reasons = [
            f"version {one.id.version}: {one.reason}"
            for one in self._target.failures(name)
            if one.id.version not in beside
        ] or [
            f"version {one.id.version}: it was unloaded meanwhile"
            for one in aspired.versions
            if one.id.version not in ready and one.id.version not in beside
        ]
        if not reasons:
            return None
        return LoadFailed(f"failed to load '{name}', {'; '.join(reasons)}")

    def _restore(self, name: str, before: _Wanted | None) -> None:
        """Want what was wanted before, and remember what became of the attempt."""
        if before is None:
            del self._wanted[name]
            self._outcomes[name] = self._target.failures(name)
        elif before.stored is None or before.held == self._held.get(name, frozenset()):
            self._wanted[name] = before
        else:
            self._wanted[name] = self._want_stored(before.stored)
        self._tell()
