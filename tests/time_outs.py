"""A test that hangs a second time, while it cleans up or when it is tried again, ends as well.

Time-outs come once: whatever goes wrong cancels them, that of the plugin and pytest's own, which
ends the process of a test that no signal ends, such as one in a call into C
(``faulthandler_timeout`` in pyproject.toml). They are set again for what comes after.
"""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Generator
from typing import Any

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

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
        seconds = float(item.config.getini("faulthandler_timeout"))
        told = item.config.stash[fault_handler_stderr_fd_key]
        faulthandler.dump_traceback_later(seconds, exit=True, file=told)
