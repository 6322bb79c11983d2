"""Continuity: whether a control store on a server is still the one that was asked first."""

from __future__ import annotations

from penstock.core.errors import StoreError, StoreFault


class Continuity:
    """What one process remembers of a store, so that another one in its place is not followed.

    A server that was emptied, replaced, restored from a backup, or that failed over to a copy
    which lacks the last changes, gives revisions a second time: some processes would follow one
    history and some the other.

    Law: nothing is taken from a store whose identity is not the first one's; nor, from then on,
    from one whose revision was ever lower than one that was seen before it was asked.

    Args:
        name: what errors call the store.
        is_new: whether the store may be made by this process.

    Attributes:
        identity: of the store; "": it was not asked yet.
        revision: the highest that was seen.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, name: str, *, is_new: bool) -> None:
        self.identity = ""
        self.revision = 0
        self._name = name
        self._is_new = is_new
        self._lost = ""

    @property
    def may_make(self) -> bool:
        """Whether a store that is not there is made: only before it was there."""
        return self._is_new and not self.identity

    def check(self, identity: str, revision: int, seen: int) -> None:
        """Compare what the store says of itself with what it said before.

        Args:
            identity: "": there is no control store.
            revision: of its last change.
            seen: our ``revision`` when it was asked: answers may overtake each other.

        Raises:
            StoreError: it is not the one that was asked first, or lacks some of its changes.
        """
        if not identity and not self.identity:
            raise self._error("is not there: it is empty, or was emptied")
        if self.identity and identity != self.identity:
            raise self._error("was emptied or replaced while it was in use: restart the servers")
        self.identity = identity
        if revision < seen and not self._lost:
            self._lost = f"has lost changes: it is at {revision} and was at {seen}"
        if self._lost:
            raise self._error(f"{self._lost}; restart the servers")
        self.saw(revision)

    def saw(self, revision: int) -> None:
        """A change of this revision was confirmed."""
        self.revision = max(self.revision, revision)

    def _error(self, text: str) -> StoreError:
        return StoreError(f"{self._name} {text}", fault=StoreFault.REFUSED)
