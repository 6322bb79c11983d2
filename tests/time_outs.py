"""A test that hangs a second time, while it cleans up or when it is tried again, ends as well.

The plugin's time-out comes once: whatever goes wrong cancels it. One that no signal ends, such as
a call into a library written in C, is ended with its process: ``faulthandler_timeout`` in
pyproject.toml.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from typing import Any

import pytest

_SETTINGS = pytest.StashKey[Any]()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Generator[None, Any, Any]:
    item.stash[_SETTINGS] = settings
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _set_again(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    _set_again(item)


def _set_again(item: pytest.Item) -> None:
    settings = item.stash.get(_SETTINGS, None)
    is_set = signal.getitimer(signal.ITIMER_REAL)[0] > 0
    if settings is not None and settings.method == "signal" and not is_set:
        item.ihook.pytest_timeout_set_timer(item=item, settings=settings)
