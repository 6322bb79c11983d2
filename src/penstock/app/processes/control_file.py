"""The file that the setting ``control_store`` names."""

from __future__ import annotations

from pathlib import Path

from penstock.app.processes.sign_off import sign_off_lost
from penstock.core.errors import ConfigError, StoreError
from penstock.stores.control_store import ControlStore
from penstock.stores.store_url import parse_store_url


def control_path(url: str) -> Path:
    """The file that the setting ``control_store`` names.

    Raises:
        ConfigError: it names none.
    """
    try:
        address = parse_store_url(url)
    except ConfigError as err:
        raise ConfigError(f"control_store: {err.message}") from err
    if address.scheme != "sqlite" or address.options:
        raise ConfigError(f"control_store: expected sqlite:///file, got {str(address)!r}")
    return Path(address.path).absolute()


async def check_store(store: ControlStore, path: Path) -> None:
    """Refuse a store that cannot be used, before anything is started; of what an earlier server
    has left in it, take back what that one died of.

    Raises:
        ConfigError: it cannot.
    """
    try:
        await store.desired()
        await sign_off_lost(store)
    except StoreError as err:
        await store.close()
        raise ConfigError(f"control_store {path}: {err.message}") from err
