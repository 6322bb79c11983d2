"""How hypothesis searches: without a clock, and in CI the same way each time; and what is tried
again: what is held to a time, and what meets servers and processes that share a busy machine.
"""

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.object_stores", "tests.time_outs"]

settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

_LIVE = frozenset({"apps", "brokers", "e2e", "fault", "interop", "stores"})
"""Folders of tests with servers and processes of their own; the summary tells what was rerun."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("timed") is not None:
            item.add_marker(pytest.mark.flaky(reruns=2))
        elif _LIVE & {*item.path.relative_to(Path(__file__).parent).parts}:
            item.add_marker(pytest.mark.flaky(reruns=1))
