"""Survey: one look at all roots, weighed against the looks before it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import msgspec

from penstock.core.errors import ConfigError
from penstock.repository.artifact import StoredModel
from penstock.repository.manifest_cache import ManifestCache
from penstock.repository.model_look import ModelLook
from penstock.repository.root import Root, RootLook, look_at_root, refuse_root
from penstock.repository.settle import Instant, Memory, settle

_log = logging.getLogger(__name__)


class Survey(msgspec.Struct, frozen=True):
    """What was found, and what the next look must know of it.

    Attributes:
        memory: what was told and seen.
        roots: what each root was when it could last be looked at.
        owners: which root each model came from.
        missing: roots that could not be looked at this time.
        wait_s: when to look again because something is held back, in seconds; None: nothing is.
    """

    memory: Memory = msgspec.field(default_factory=Memory)
    roots: Mapping[Root, RootLook] = msgspec.field(default_factory=dict)
    owners: Mapping[str, Root] = msgspec.field(default_factory=dict)
    missing: frozenset[Root] = frozenset()
    wait_s: float | None = None

    @property
    def models(self) -> list[StoredModel]:
        """The truth, by name."""
        return list(self.memory.told.values())


def take_survey(
    roots: Sequence[Root],
    before: Survey,
    cache: ManifestCache,
    now: Instant,
    settle_s: float,
) -> Survey:
    """Look at all roots.

    Laws: a root that was there once and cannot be looked at keeps its last models; what is
    wrong with one model is that model's error only; what is not quiet is held back (``settle``).

    Args:
        roots: where to look.
        before: the survey before this one; an empty one at first.
        cache: manifests read before.
        now: this moment.
        settle_s: how long is quiet enough, in seconds; 0: nothing is held back.

    Raises:
        ConfigError: at the first survey only: a path does not exist, cannot be read or is a
            file that is no model; or two models have one name.

    Concurrency: blocks on the file system.
    """
    cache.start_look()
    found = {root: _look_at(root, before, cache) for root in roots}
    here = {root: look for root, look in found.items() if look is not None}
    missing = frozenset(found.keys() - here.keys())
    _log_missing(missing, before.missing)
    looks, owners = _merge(here, before)
    kept = frozenset(n for n in before.memory.told if before.owners.get(n) in missing)
    verdict = settle(looks, before.memory, now, settle_s=settle_s, kept=kept)
    owners = {
        name: before.owners[name] if name in kept or name not in owners else owners[name]
        for name in verdict.memory.told
    }
    return Survey(verdict.memory, {**before.roots, **here}, owners, missing, wait_s=verdict.wait_s)


def _look_at(root: Root, before: Survey, cache: ManifestCache) -> RootLook | None:
    """Look at a root; None: it was there once and cannot be looked at now."""
    last = before.roots.get(root)
    try:
        look = look_at_root(root, cache)
    except OSError as err:
        if last is None:
            raise refuse_root(root, err) from err
        return None
    except ConfigError:
        if last is None:
            raise
        return None
    # A network file system that went away leaves the empty folder it was mounted on.
    is_unmounted = last is not None and last.device != look.device and not look.models
    return None if is_unmounted else look


def _merge(
    here: Mapping[Root, RootLook], before: Survey
) -> tuple[list[ModelLook], dict[str, Root]]:
    """All models of all roots, and which root each is of.

    A name that comes up twice while running is the error of that model, which stays as it was.

    Raises:
        ConfigError: a name comes up twice at the first look.
    """
    looks: dict[str, ModelLook] = {}
    owners: dict[str, Root] = {}
    for root, look in here.items():
        for model in look.models:
            if model.name not in looks:
                looks[model.name], owners[model.name] = model, root
                continue
            first = looks[model.name]
            paths = f"{first.path} and {model.path}"
            error = ConfigError(f"two models are called {model.name!r}: {paths}; rename one")
            if before.memory.is_first:
                raise error
            owner = before.owners.get(model.name, owners[model.name])
            kept = model if owner == root else first
            owners[model.name] = owner
            looks[model.name] = msgspec.structs.replace(
                ModelLook.failed(kept.name, kept.path, error), present=kept.present
            )
    return list(looks.values()), owners


def _log_missing(missing: frozenset[Root], before: frozenset[Root]) -> None:
    for root in sorted(missing - before, key=str):
        _log.warning("%s is not there or cannot be read; its models stay as they were", root)
    for root in sorted(before - missing, key=str):
        _log.info("%s is back", root)
