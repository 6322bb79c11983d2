"""The control store that the setting ``control_store`` names."""

from __future__ import annotations

from penstock.app.processes.sign_off import sign_off_lost
from penstock.core.errors import ConfigError, StoreError
from penstock.stores.control_store import ControlStore
from penstock.stores.open_control_store import open_control_store
from penstock.stores.store_url import without_password


def open_control(url: str, *, is_new: bool) -> ControlStore:
    """Open the store of this URL; see ``open_control_store``.

    Raises:
        ConfigError: it names none.
    """
    try:
        return open_control_store(url, is_new=is_new)
    except ConfigError as err:
        raise ConfigError(f"control_store: {err.message}") from err


async def check_store(store: ControlStore, url: str) -> None:
    """Refuse a store that cannot be used, before anything is started; of what an earlier server
    has left in it, take back what that one died of.

    Args:
        store: the store; closed where it is refused.
        url: where it is; what of it is secret is not told.

    Raises:
        ConfigError: it cannot.
    """
    try:
        await store.desired()
        await sign_off_lost(store)
    except StoreError as err:
        await store.close()
        raise ConfigError(f"control_store {without_password(url)}: {err.message}") from err
