"""CachedLoader: a version whose answers are kept; and the one store that all of them share."""

from __future__ import annotations

from penstock.app.model_loader import ModelLoader
from penstock.app.settings import ResponseCacheSettings
from penstock.core.clock import Clock
from penstock.core.resources import ResourceEstimate
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import ResponseCache
from penstock.router.cached_servable import CachedServable
from penstock.stores.open_backend import open_backend
from penstock.stores.prediction_store import PredictionStore, PredictionStoreOptions
from penstock.telemetry.stats import EdgeStats


class SharedStore:
    """The store of every cached version: open as long as one of them is loaded.

    So it is closed, its pending writes drained, after the last instance has stopped and before
    telemetry is flushed, and a server without cached models has none.

    Args:
        settings: where it is.
        clock: the time.
        edge: where its numbers are told.

    Concurrency: the event loop's thread.
    """

    def __init__(self, settings: ResponseCacheSettings, clock: Clock, edge: EdgeStats) -> None:
        self._settings = settings
        self._clock = clock
        self._edge = edge
        self._store: PredictionStore | None = None
        self._users = 0

    def loader(
        self, loader: ModelLoader, artifact: ArtifactRef, options: ResponseCache
    ) -> CachedLoader:
        """A loader of the same version, whose answers are kept here."""
        return CachedLoader(loader, artifact, options, shared=self, clock=self._clock)

    def acquire(self) -> PredictionStore:
        """The store, opened where it is not; each call is paid back with ``release``.

        Raises:
            ConfigError: the URL is wrong.
        """
        if self._store is None:
            backend = open_backend(self._settings.url, clock=self._clock)
            options = PredictionStoreOptions(timeout_s=self._settings.timeout_s)
            self._store = PredictionStore(
                backend, options, name="response_cache", clock=self._clock
            )
            self._edge.stores.append(self._store.stats)
        self._users += 1
        return self._store

    async def release(self) -> None:
        """Say that one version is gone; the last one closes the store."""
        self._users -= 1
        store = self._store
        if store is not None and not self._users:
            self._store = None
            await store.close()
            self._edge.stores.remove(store.stats)


class CachedLoader:
    """A ``core.Loader`` of a version whose answers are kept.

    Args:
        loader: loads what computes.
        artifact: what is loaded.
        options: its ``response_cache``.
        shared: the store.
        clock: the time.
    """

    def __init__(
        self,
        loader: ModelLoader,
        artifact: ArtifactRef,
        options: ResponseCache,
        *,
        shared: SharedStore,
        clock: Clock,
    ) -> None:
        self._loader = loader
        self._revision = artifact.revision
        self._options = options
        self._shared = shared
        self._clock = clock

    def estimate(self) -> ResourceEstimate:
        """See ``core.Loader.estimate``; the store's memory is bounded by its URL."""
        return self._loader.estimate()

    async def load(self) -> CachedServable:
        """See ``core.Loader.load``."""
        store = self._shared.acquire()
        try:
            scheduler = await self._loader.load()
        except BaseException:
            await self._shared.release()
            raise
        return CachedServable(
            scheduler, store, self._options, revision=self._revision, clock=self._clock
        )

    async def unload(self) -> None:
        """See ``core.Loader.unload``."""
        try:
            await self._loader.unload()
        finally:
            await self._shared.release()
