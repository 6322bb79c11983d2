"""RouteStats: who answered the requests of routed models, from the start of the process."""

from __future__ import annotations

from collections.abc import Iterator


class VariantStats:
    """The running numbers of one variant that is one version. Owned by the event loop's thread.

    Attributes:
        model, version, variant: whose numbers these are.
        requests: requests it was given, whatever came of them.
        fallbacks: requests that were its own and that another version answered, because it was
            not ready.
    """

    __slots__ = ("fallbacks", "model", "requests", "variant", "version")

    def __init__(self, model: str, version: int, variant: str) -> None:
        self.model = model
        self.version = version
        self.variant = variant
        self.requests = 0
        self.fallbacks = 0


class RouteStats:
    """The numbers of all routes that there are or were.

    Attributes:
        unkeyed: by model, requests without the key that their route wants.

    Concurrency: the event loop's thread only.
    """

    def __init__(self) -> None:
        self.unkeyed: dict[str, int] = {}
        self._variants: dict[tuple[str, int, str], VariantStats] = {}

    def variant(self, model: str, version: int, name: str) -> VariantStats:
        """The numbers of one; of one that is new, zeros."""
        key = (model, version, name)
        stats = self._variants.get(key)
        if stats is None:
            stats = self._variants[key] = VariantStats(model, version, name)
        return stats

    def count_unkeyed(self, model: str) -> None:
        """Count a request without a key."""
        self.unkeyed[model] = self.unkeyed.get(model, 0) + 1

    def __iter__(self) -> Iterator[VariantStats]:
        """All variants, by model, version and name."""
        return iter([self._variants[key] for key in sorted(self._variants)])
