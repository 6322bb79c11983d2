"""Mirror: one address, brought to a local folder, again and again."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.core.clock import Clock
from penstock.core.errors import LoadFailed, PenstockError
from penstock.repository.remote.model_cache import ModelCache
from penstock.repository.remote.model_unit import ModelUnit, find_units, is_in_way
from penstock.repository.remote.remote_fault import attempt
from penstock.repository.remote.remote_file import RemoteFile, RemoteListing
from penstock.repository.remote.remote_store import RemoteOptions, RemoteStore
from penstock.repository.remote.remote_url import RemoteUrl
from penstock.repository.remote.unit_folder import UnitFolder

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0

Units = Mapping[str, ModelUnit]


class UnitFailure(msgspec.Struct, frozen=True):
    """A unit that could not be brought.

    Attributes:
        unit: which.
        error: why.
        count: how often in a row, as the same unit.
        due_ns: when it is tried again, monotonic time.
    """

    unit: ModelUnit
    error: PenstockError
    count: int
    due_ns: int


class Look(NamedTuple):
    """What a look came to.

    Attributes:
        is_held: whether something counts only once another look finds it the same.
        is_changed: whether the folder is another one than before.
    """

    is_held: bool
    is_changed: bool


class Mirror:
    """Brings what is at an address to a folder that the file system source looks at.

    Laws: what is in the folder is whole and verified; a unit is brought only once it looked the
    same in two looks, unless it is complete by nature; a store that does not answer, or answers
    that nothing is there any more, changes nothing; a unit that cannot be brought keeps its
    last truth and holds back no other.

    Args:
        url: the address.
        open_store: makes its client; called once, off the event loop.
        cache: where downloads are kept.
        folder: where to bring it.
        options: time-outs and attempts.
        clock: where time comes from.

    Concurrency: any thread; a look waits for the one under way.
    """

    def __init__(
        self,
        url: RemoteUrl,
        open_store: Callable[[], RemoteStore],
        cache: ModelCache,
        folder: UnitFolder,
        options: RemoteOptions,
        clock: Clock,
    ) -> None:
        self.url = url
        self._open_store = open_store
        self._cache = cache
        self._folder = folder
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._store: RemoteStore | None = None  # guarded by: self._lock, as all below
        self._seen: Units | None = None
        self._here: dict[str, ModelUnit] = {}
        self._failures: dict[str, UnitFailure] = {}
        self._is_reached = True
        self._is_new = True

    @property
    def failures(self) -> tuple[UnitFailure, ...]:
        """What could not be brought at the last look; any thread."""
        return tuple(self._failures.values())

    def look(self, *, believe: bool = False) -> Look:
        """Look at the store and bring what is new. Blocks, for as long as a download takes.

        Args:
            believe: whether one look is enough.

        Raises:
            PenstockError: at the first look only: the store cannot be read and nothing was kept
                of it, nothing is there, or nothing of it can be brought.
        """
        with self._lock:
            is_first, here = self._seen is None, dict(self._here)
            try:
                listing = self._list()
                units = _by_key(find_units(self.url, listing.files))
            except PenstockError as err:
                self._keep_serving(err, is_first)
                return Look(is_held=False, is_changed=here != self._here)
            if not self._is_reached:
                _log.info("%s answers again", self.url)
            self._is_reached = True
            is_held = self._follow(listing, units, is_sure=believe or listing.is_final)
            return Look(is_held, here != self._here)

    def _list(self) -> RemoteListing:
        if self._store is None:
            self._store = attempt(self.url, "", self._options, self._open_store)
        listing = attempt(self.url, "", self._options, self._store.list)
        if not listing.files:
            raise LoadFailed(f"{self.url}: nothing is there (404): check the address")
        return listing

    def _follow(self, listing: RemoteListing, units: Units, *, is_sure: bool) -> bool:
        """Bring what counts of a listing; returns whether something does not count yet."""
        before = units if is_sure else (self._seen or {})
        settled = [unit for key, unit in units.items() if before.get(key) == unit]
        gone = {key for key in self._here if key not in units and (is_sure or key not in before)}
        self._drop(key for key in gone if any(is_in_way(self._here[key], one) for one in settled))
        for unit in settled:
            self._bring(unit)
        if not (listing.is_final and self._failures):
            self._drop(gone & self._here.keys())
        self._failures = {key: one for key, one in self._failures.items() if key in units}
        waiting = len(units) - len(settled) + sum(key not in units for key in before)
        if self._is_new and not self._here and self._failures:
            raise next(iter(self._failures.values())).error
        self._seen, self._is_new = units, self._is_new and not self._here
        if not (waiting or self._failures or self.url.is_signed):
            self._cache.save_listing(_file_name(self.url), msgspec.json.encode(listing))
        return waiting > 0

    def _drop(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self._folder.drop(self._here.pop(key))

    def _bring(self, unit: ModelUnit) -> None:
        """Bring one unit, unless it is here, or failed a moment ago; its error travels as data."""
        key = _key(unit)
        if self._here.get(key) == unit:
            self._failures.pop(key, None)
            return
        failure = self._failures.get(key)
        is_same = failure is not None and failure.unit == unit
        now_ns = self._clock.monotonic_ns()
        if failure is not None and is_same and now_ns < failure.due_ns:
            return
        try:
            self._fetch_unit(unit)
        except (PenstockError, OSError) as err:
            error = err if isinstance(err, PenstockError) else self._disk_error(err)
            count = failure.count + 1 if failure is not None and is_same else 1
            if count == 1:
                _log.warning("%s", error.message)
            pause_s = min(_FIRST_PAUSE_S * 2 ** min(count - 1, 10), _LONGEST_PAUSE_S)
            due_ns = now_ns + int(pause_s * 1e9)
            self._failures[key] = UnitFailure(unit, error, count, due_ns)
        else:
            self._here[key] = unit
            self._failures.pop(key, None)

    def _fetch_unit(self, unit: ModelUnit) -> None:
        store = self._store
        assert store is not None  # noqa: S101 - the listing came from it

        def fetch(file: RemoteFile, into: Path) -> None:
            identity = file.identity(self.url.key)
            shown = f"{self.url}: {file.path}" if file.path else str(self.url)
            work = partial(self._cache.fetch, file, identity, store, into, shown)
            attempt(self.url, file.path, self._options, work)

        self._place(unit, fetch)

    def _place(self, unit: ModelUnit, fetch: Callable[[RemoteFile, Path], None]) -> None:
        staged = self._folder.stage()
        try:
            for file in unit.files:
                fetch(file, staged / (file.path or "file"))
            self._folder.place(unit, staged, str(self.url))
        finally:
            shutil.rmtree(staged, ignore_errors=True)  # what was placed is there no more

    def _keep_serving(self, error: PenstockError, is_first: bool) -> None:
        """Go on with what is here; at the first look, with what is kept of an earlier server.

        Raises:
            PenstockError: there is nothing.
        """
        if is_first:
            if not error.retryable or not self._bring_kept():
                raise error
            self._seen = {}
            _log.warning("%s; serving what was kept of it", error.message)
        elif self._is_reached:
            _log.warning("%s; its models stay as they were", error.message)
        self._is_reached = False

    def _bring_kept(self) -> bool:
        """Bring what the cache holds whole of the last listing; False: nothing."""
        content = self._cache.load_listing(_file_name(self.url))
        if not content:
            return False
        try:
            listing = msgspec.json.decode(content, type=RemoteListing)
        except msgspec.MsgspecError:
            return False
        for unit in find_units(self.url, listing.files):
            try:
                self._place(unit, self._take)
            except (PenstockError, OSError):
                continue
            self._here[_key(unit)] = unit
        return bool(self._here)

    def _take(self, file: RemoteFile, into: Path) -> None:
        if not self._cache.take(file.identity(self.url.key), file.size_bytes, into):
            raise FileNotFoundError(file.path)

    def _disk_error(self, err: OSError) -> LoadFailed:
        return LoadFailed(
            f"{self.url}: cannot be kept on this disk (model_cache.path): {err.strerror or err}",
            retryable=True,
        )


def _by_key(units: Iterable[ModelUnit]) -> dict[str, ModelUnit]:
    return {_key(unit): unit for unit in units}


def _key(unit: ModelUnit) -> str:
    return f"{unit.path} {unit.version}"


def _file_name(url: RemoteUrl) -> str:
    return hashlib.blake2b(url.key.encode(), digest_size=16).hexdigest()
