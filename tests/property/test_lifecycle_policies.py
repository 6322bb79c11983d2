"""The version and transition policies as laws over generated snapshots."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.status import VersionState
from penstock.lifecycle.transition_policy import (
    Act,
    TransitionPolicy,
    VersionSnapshot,
    availability_preserving,
    resource_preserving,
)
from penstock.lifecycle.version_policy import choose_versions
from penstock.repository.manifest import VersionPolicyFields

numbers = st.lists(st.integers(0, 20), max_size=8)
policies = st.sampled_from([availability_preserving, resource_preserving])
NEXT = {
    Act.LOAD: {VersionState.NEW, VersionState.FAILED},
    Act.UNLOAD: {VersionState.READY},
}


@st.composite
def snapshots(draw: st.DrawFn) -> list[VersionSnapshot]:
    rows = draw(
        st.lists(
            st.builds(
                VersionSnapshot,
                version=st.integers(0, 3),
                revision=st.sampled_from("abc"),
                serial=st.just(0),
                state=st.sampled_from(VersionState),
                is_aspired=st.booleans(),
                may_load=st.booleans(),
            ),
            max_size=6,
        )
    )
    return [row._replace(serial=serial) for serial, row in enumerate(rows)]


@given(st.integers(1, 10), numbers)
def test_latest_chooses_the_newest_n(count: int, available: list[int]) -> None:
    chosen = choose_versions(VersionPolicyFields(latest=count), available)
    rest = set(available) - set(chosen)
    assert len(chosen) == min(count, len(set(available)))
    assert list(chosen) == sorted(chosen)
    assert all(one > other for one in chosen for other in rest)


@given(st.lists(st.integers(0, 20), min_size=1), numbers)
def test_specific_chooses_what_is_named_and_there(
    specific: list[int], available: list[int]
) -> None:
    chosen = choose_versions(VersionPolicyFields(specific=tuple(specific)), available)
    assert set(chosen) == set(specific) & set(available)
    assert choose_versions("all", available) == tuple(sorted(set(available)))


@given(policies, snapshots())
def test_only_what_may_be_is_loaded_or_unloaded(
    policy: TransitionPolicy, rows: list[VersionSnapshot]
) -> None:
    action = policy(rows)
    if action is None:
        return
    (row,) = [one for one in rows if one.serial == action.serial]
    assert row.state in NEXT[action.act]
    assert row.is_aspired is (action.act is Act.LOAD)


@given(snapshots())
def test_availability_is_preserved(rows: list[VersionSnapshot]) -> None:
    """An unload never takes the last ready version of a model, or of a number, that is wanted."""
    action = availability_preserving(rows)
    if action is None or action.act is Act.LOAD:
        return
    (gone,) = [one for one in rows if one.serial == action.serial]
    left = [one for one in rows if one is not gone and one.state is VersionState.READY]
    if any(one.is_aspired for one in rows):
        assert left
    if any(one.is_aspired and one.version == gone.version for one in rows):
        assert any(one.version == gone.version for one in left)


@given(snapshots())
def test_nothing_is_loaded_while_the_unwanted_hold_resources(rows: list[VersionSnapshot]) -> None:
    action = resource_preserving(rows)
    if action is not None and action.act is Act.LOAD:
        holding = {VersionState.LOADING, VersionState.READY, VersionState.UNLOADING}
        assert not any(one.state in holding and not one.is_aspired for one in rows)


@given(policies, snapshots())
def test_it_comes_to_rest(policy: TransitionPolicy, rows: list[VersionSnapshot]) -> None:
    """Where each action succeeds at once, the aspired ones end ready and only they are left."""
    rows = [
        one._replace(may_load=True)
        for one in rows
        if one.state in (VersionState.NEW, VersionState.READY)
    ]
    for _ in range(2 * len(rows) + 1):
        action = policy(rows)
        if action is None:
            break
        if action.act is Act.UNLOAD:
            rows = [one for one in rows if one.serial != action.serial]
        else:
            rows = [
                one._replace(state=VersionState.READY) if one.serial == action.serial else one
                for one in rows
            ]
    assert policy(rows) is None
    assert all(one.state is VersionState.READY for one in rows if one.is_aspired)
    assert not any(one.is_unwanted for one in rows)
