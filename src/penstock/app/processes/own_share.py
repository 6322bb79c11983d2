"""OwnShare: the control store of a server that was given none, made when it is first needed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from penstock.core.errors import StoreError
from penstock.lifecycle.reconciler import Apply, Reconciler
from penstock.stores.control_store import ServingProcess
from penstock.stores.open_control_store import control_file_url
from penstock.stores.sqlite_control_store import SqliteControlStore


class OwnShare:
    """A private folder with a store that one process follows alone. Gone when it is closed.

    Args:
        me: this process.
        apply: makes a change true here.

    Attributes:
        folder: the private folder.
        url: of the store.
        store: in it.
        reconciler: follows the store.

    Raises:
        StoreError: the folder cannot be made.
    """

    def __init__(self, me: ServingProcess, apply: Apply) -> None:
        try:
            self._temporary = tempfile.TemporaryDirectory(prefix="penstock-")
        except OSError as err:
            reason = err.strerror or type(err).__name__
            raise StoreError(
                f"there is no place for a temporary folder ({reason}): make room, or name a file "
                "of your own in the setting control_store"
            ) from err
        self.folder = Path(self._temporary.name)
        path = self.folder / "control.db"
        self.url = control_file_url(path)
        self.store = SqliteControlStore(path, is_new=True)
        self.reconciler = Reconciler(self.store, me, apply)

    async def open(self) -> None:
        """Begin to follow. Where that fails, nothing is left behind.

        Raises:
            StoreError: the store cannot be used.
        """
        try:
            await self.reconciler.begin()
            await self.reconciler.follow({})
        except StoreError:
            await self.close()
            raise

    async def close(self) -> None:
        """Follow no longer, and remove the folder."""
        await self.reconciler.close()
        await self.store.close()
        self._temporary.cleanup()
