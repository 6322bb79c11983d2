"""Law 2 for versions that a route holds: what is wanted serves, and is never given up meanwhile."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.loader import Loader
from penstock.lifecycle.harness import LoadOptions
from penstock.lifecycle.manager import ManagerOptions
from penstock.lifecycle.source_adapter import ModelControl
from penstock.repository.artifact import ArtifactRef
from penstock.testing.fake_loader import FakeLoader
from tests.unit.lifecycle.building import World, stored

NUMBERS = st.integers(0, 4)
STORES = st.tuples(st.just("store"), st.frozensets(NUMBERS, min_size=1), st.integers(1, 3))
HOLDS = st.tuples(st.just("hold"), st.frozensets(NUMBERS), st.just(0))
LIMIT_S = 5


@given(st.lists(STORES | HOLDS, min_size=1, max_size=12))
def test_what_is_chosen_or_held_serves_and_stays(
    steps: list[tuple[str, frozenset[int], int]],
) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, frozenset[int], int]]) -> None:
    manager = World(ManagerOptions(load=LoadOptions(max_attempts=1))).manager
    made: list[tuple[int, FakeLoader]] = []

    def make(artifact: ArtifactRef) -> Loader:
        made.append((artifact.id.version, FakeLoader()))
        return made[-1][1]

    control = ModelControl(manager, make, "watch")
    there, chosen, held = frozenset[int](), frozenset[int](), frozenset[int]()
    wanted = frozenset[int]()
    for kind, numbers, latest in steps:
        loaded = {one for one in made if one[1].is_loaded}
        if kind == "store":
            there, chosen = numbers, frozenset(sorted(numbers)[-latest:])
            control.set_aspired([stored("m", *numbers, latest=latest)])
        else:
            held = numbers
            control.hold("m", numbers)
        await asyncio.wait_for(manager.wait_settled(), LIMIT_S)
        before, wanted = wanted, chosen | (held & there)
        ready = frozenset(manager.ready_versions("m"))
        assert wanted <= ready
        assert ready - wanted <= held  # its files are gone, and it is still held
        kept = {one for one in loaded if one[0] in before & wanted}
        assert all(loader.is_loaded and loader.num_loads == 1 for _, loader in kept)
        assert not any(loader.violations for _, loader in made)
    await manager.aclose(LIMIT_S)
