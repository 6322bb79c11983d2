"""Stream: the versions of one model, as they should be and as they are. No tasks, no clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator

from penstock.core.errors import NotFound, NotReady, PenstockError
from penstock.core.ids import VersionChoice
from penstock.core.source import AspiredModel, AspiredVersion
from penstock.core.status import VersionState, VersionStatus
from penstock.lifecycle.harness import LoaderHarness
from penstock.lifecycle.transition_policy import VersionSnapshot

_NOTHING = AspiredModel("")
_GOING = (VersionState.UNLOADING, VersionState.UNLOADED)
_MAX_COMPARED = 100
_FORGETTABLE = (VersionState.NEW, VersionState.FAILED, VersionState.UNLOADED)


class Stream:
    """One model of a Manager: bookkeeping between what a Source said and what is loaded.

    Attributes:
        name: the model's name.
        aspired: what should be; None: nothing, the model is wanted no more.
        harnesses: what is, in order of age.
        is_demanded: whether a model that is loaded on demand is wanted in memory now.
        is_urgent: whether others must make room for it though they have only just come.
        num_waiting: requests that wait for it to be loaded.
        last_used_ns: when a request last asked for it; told of models loaded on demand only.
        progress: set when something may have changed since it was taken; there is a new one then.

    Concurrency: the event loop's thread only; never blocks.
    """

    __slots__ = (
        "_labelled",
        "_latest",
        "_lost",
        "_make_harness",
        "_ready",
        "_was_evicted",
        "aspired",
        "harnesses",
        "is_demanded",
        "is_urgent",
        "last_used_ns",
        "name",
        "num_waiting",
        "progress",
    )

    def __init__(self, name: str, make_harness: Callable[[AspiredVersion], LoaderHarness]) -> None:
        self.name = name
        self.aspired: AspiredModel | None = None
        self.harnesses: list[LoaderHarness] = []
        self._make_harness = make_harness
        self._latest: LoaderHarness | None = None
        self._ready: dict[int, LoaderHarness] = {}
        self._labelled: dict[str, LoaderHarness] = {}
        self._lost: dict[str, int] = {}
        self.progress = asyncio.Event()
        self._was_evicted = False
        self.is_demanded = False
        self.is_urgent = False
        self.num_waiting = 0
        self.last_used_ns = 0

    @property
    def is_on_demand(self) -> bool:
        """Whether it is loaded when it is asked for, and may be unloaded when it is not."""
        return self.aspired is not None and self.aspired.on_demand

    @property
    def wanted(self) -> tuple[AspiredVersion, ...]:
        """The versions that should be in memory now."""
        aspired = self.aspired or _NOTHING
        return aspired.versions if self.is_demanded or not aspired.on_demand else ()

    @property
    def is_gone(self) -> bool:
        """Whether nothing is wanted and nothing is left."""
        return self.aspired is None and not self.harnesses

    def find(self, choice: VersionChoice) -> LoaderHarness | None:
        """The ready version that is meant, or None. Dictionary look-ups only: the hot path."""
        version, label = choice
        if version is not None:
            return self._ready.get(version)
        if label is not None:
            return self._labelled.get(label)
        return self._latest

    def why_not(self, choice: VersionChoice) -> PenstockError:
        """The error of a request that ``find`` had no version for."""
        version, label = choice
        aspired = self.aspired or _NOTHING
        labels = aspired.labels
        if version is None and label is not None:
            if label not in labels:
                return NotFound(
                    f"Request for unknown model: '{self.name}' label '{label}' is not found; "
                    f"its labels are {sorted(labels)}{nearest_name(label, labels)}"
                )
            return NotReady(
                f"'{self.name}' label '{label}' points at version {labels[label]}, "
                "which is not at ready state"
            )
        if version is None and aspired.versions and not self.wanted:
            return NotReady(f"'{self.name}' is not in memory now; it is loaded on demand")
        if version is None:
            return NotReady(f"Request for unknown model: '{self.name}' has no available versions")
        known = {one.id.version for one in self.harnesses}
        if version in known.union(one.id.version for one in aspired.versions):
            return NotReady(f"'{self.name}' version {version} is not at ready state")
        return NotFound(f"Request for unknown model: '{self.name}' version {version} is not found")

    def sync(self) -> None:
        """Bring the harnesses in line with what is aspired, as far as no work is needed for it.

        Marks each as aspired or not, forgets those that hold nothing and are wanted no more, and
        makes new ones for what is missing.
        """
        wanted = {(one.id.version, one.revision): one for one in self.wanted}
        for harness in self.harnesses:
            one = wanted.get((harness.id.version, harness.revision))
            if one is not None and _stands_for(harness, one):
                del wanted[one.id.version, one.revision]
                harness.aspire()
            else:
                harness.unaspire()
        self.harnesses = [
            one for one in self.harnesses if one.is_aspired or one.state not in _FORGETTABLE
        ]
        self.harnesses += [self._make_harness(one) for one in wanted.values()]
        self.index()

    def index(self) -> None:
        """Rebuild what ``find`` looks up; to be called on each change of a state."""
        ready = [one for one in self.harnesses if one.state is VersionState.READY]
        ready.sort(key=lambda one: (one.is_aspired, one.serial))
        self._ready = {one.id.version: one for one in ready}
        self._latest = self._ready[max(self._ready)] if ready else None
        labels = (self.aspired or _NOTHING).labels
        self._labelled = {
            label: self._ready[version]
            for label, version in labels.items()
            if version in self._ready
        }

    def snapshot(self) -> tuple[VersionSnapshot, ...]:
        """What a transition policy decides on."""
        return tuple(
            VersionSnapshot(
                one.id.version,
                one.revision,
                one.serial,
                one.state,
                one.is_aspired,
                self._may_load(one),
            )
            for one in self.harnesses
        )

    def ready_versions(self) -> list[int]:
        """The versions that answer, ascending."""
        return sorted(self._ready)

    def is_ready(self) -> bool:
        """Whether requests are answered, if any are wanted: by an aspired version or a stand-in.

        A version that is loading, or that failed, beside one that serves does not make the model
        unready: a broken upload must not take a whole fleet out of rotation. Nor does a model that
        is loaded on demand: requests for it are taken, and which of them is where is nobody else's
        business.
        """
        return (
            self.is_on_demand
            or bool(self.ready_versions())
            or not any(one.is_aspired for one in self.harnesses)
        )

    def is_loaded(self) -> bool:
        """Whether every aspired version is READY or has FAILED."""
        return self._all_aspired_are((VersionState.READY, VersionState.FAILED))

    def is_settled(self) -> bool:
        """Whether it is loaded and nothing is on its way up or down."""
        resting = (VersionState.READY, VersionState.FAILED)
        return self.is_loaded() and all(one.state in resting for one in self.harnesses)

    def status(self, harness: LoaderHarness) -> VersionStatus:
        """One version as it stands, with its labels."""
        labels = (self.aspired or _NOTHING).labels
        pointing = tuple(sorted(name for name, at in labels.items() if at == harness.id.version))
        return VersionStatus(
            harness.id, harness.state, harness.reason, harness.revision, pointing, harness.of_model
        )

    def statuses(self) -> list[VersionStatus]:
        """One status per version number, ascending.

        Where two revisions of a number are there, the ready one gives state and revision, and
        the aspired, younger one the reason: why a replacement is not there (yet).
        """
        rows: dict[int, VersionStatus] = {}
        for harness in sorted(self.harnesses, key=lambda one: (one.is_aspired, one.serial)):
            row = self.status(harness)
            earlier = rows.get(harness.id.version)
            ready = self._ready.get(harness.id.version)
            if earlier is not None and ready is not None and ready is not harness:
                row = earlier._replace(reason=row.reason or earlier.reason)
            rows[harness.id.version] = row
        for status in self._cold():
            rows.setdefault(status.id.version, status)
        return [rows[version] for version in sorted(rows)]

    def _cold(self) -> Iterator[VersionStatus]:
        """What there is to say of versions that would be loaded if they were asked for."""
        if self.wanted or not self.is_on_demand:
            return
        aspired = self.aspired or _NOTHING
        cold, why = VersionState.NEW, "not loaded yet; loads on demand"
        if self._was_evicted:
            cold, why = VersionState.UNLOADED, "unloaded to make room; loads on demand"
        for one in aspired.versions:
            state, reason = cold, why
            labels = tuple(sorted(k for k, at in aspired.labels.items() if at == one.id.version))
            if one.error is not None:
                state, reason = VersionState.FAILED, one.error.message
            yield VersionStatus(one.id, state, reason, one.revision, labels, one.of_model)

    def evict(self) -> None:
        """It is wanted in memory no longer: another needs the room."""
        self.is_demanded = False
        self._was_evicted = True

    def forgo(self) -> bool:
        """Take the wish back if nobody waits and none of it has begun to load; whether it was."""
        self.is_urgent &= self.num_waiting > 0
        has_begun = any(one.state is not VersionState.NEW for one in self.harnesses)
        if self.num_waiting or has_begun or not self.is_demanded:
            return False
        self.is_demanded = False
        return True

    @property
    def is_starving(self) -> bool:
        """Whether a version of it is not loaded for want of room."""
        return any(one.awaits_room or one.shortage is not None for one in self.harnesses)

    @property
    def is_held_up(self) -> bool:
        """Whether a version of it waits for room that nobody is making yet."""
        return any(one.awaits_room and not one.claimed_bytes for one in self.harnesses)

    @property
    def yields(self) -> bool:
        """Whether it respects the minimum time of others when it needs their room."""
        return self.is_on_demand and not self.is_urgent

    def look_again(self) -> None:
        """There may be room now: versions that wait for it may ask again."""
        for harness in self.harnesses:
            harness.awaits_room = False
            harness.claimed_bytes = 0

    def tell_progress(self) -> None:
        """Wake whoever waits for a change."""
        told, self.progress = self.progress, asyncio.Event()
        told.set()

    def newly_lost_labels(self) -> dict[str, int]:
        """Labels whose version does not serve, each told once until it does, and their versions.

        Nothing while versions load, and nothing of a model of which no version serves.
        """
        if not self._ready or not self.is_loaded():
            return {}
        before, labels = self._lost, (self.aspired or _NOTHING).labels
        self._lost = {label: at for label, at in labels.items() if at not in self._ready}
        return {label: at for label, at in self._lost.items() if before.get(label) != at}

    def retryable(self) -> list[LoaderHarness]:
        """The aspired versions that have FAILED and have a loader to try again."""
        return [
            one
            for one in self.harnesses
            if one.is_aspired and one.state is VersionState.FAILED and one.loader is not None
        ]

    def failures(self) -> list[VersionStatus]:
        """The aspired versions that have FAILED, ascending."""
        return [
            self.status(one)
            for one in sorted(self.harnesses, key=lambda one: one.id.version)
            if one.is_aspired and one.state is VersionState.FAILED
        ]

    def _all_aspired_are(self, states: tuple[VersionState, ...]) -> bool:
        num_there = sum(
            one.is_aspired and one.state in states and not one.awaits_room for one in self.harnesses
        )
        return num_there == len(self.wanted)

    def _may_load(self, harness: LoaderHarness) -> bool:
        """Whether a load may be started: not while its loader still unloads what it loaded."""
        if harness.awaits_room:
            return False
        if harness.state is VersionState.FAILED:
            return harness.may_retry
        return not any(
            one.loader is harness.loader and one.serial < harness.serial for one in self.harnesses
        )


def _stands_for(harness: LoaderHarness, aspired: AspiredVersion) -> bool:
    """Whether the harness is that aspired version, so that nothing needs to be loaded."""
    if harness.state in _GOING:
        return False
    return harness.loader is not None or aspired.loader is None


def nearest_name(name: str, known: Collection[str]) -> str:
    """``, did you mean 'x'?`` where one of the known names is near; "" where none is.

    Nothing is looked for among so many, or in so long a text, that the event loop would feel it.
    """
    if len(known) > _MAX_COMPARED or len(name) > _MAX_COMPARED:
        return ""
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean '{near[0]}'?" if near else ""
