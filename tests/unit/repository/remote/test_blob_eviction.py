"""Which files make room: the laws, on any cache."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from penstock.repository.remote.blob_eviction import KeptFile, choose_victims

FILES = st.lists(
    st.builds(
        KeptFile,
        path=st.integers(0, 10**6).map(lambda n: Path(str(n))),
        size_bytes=st.integers(0, 100),
        used_ns=st.integers(0, 20),
        is_in_use=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda file: file.path,
)


@given(FILES, st.integers(0, 200), st.integers(0, 400))
def test_the_laws(kept: list[KeptFile], wanted: int, limit: int) -> None:
    victims = choose_victims(kept, wanted, limit)
    in_use = sum(file.size_bytes for file in kept if file.is_in_use)
    assert (victims is None) == (in_use + wanted > limit)
    if victims is None:
        return
    assert not any(file.is_in_use for file in victims)
    left = [file for file in kept if file not in victims]
    assert sum(file.size_bytes for file in left) + wanted <= limit
    spared = [file.used_ns for file in left if not file.is_in_use]
    assert all(victim.used_ns <= used for victim in victims for used in spared)
    if victims:
        without_last = sum(f.size_bytes for f in left) + victims[-1].size_bytes + wanted
        assert without_last > limit
