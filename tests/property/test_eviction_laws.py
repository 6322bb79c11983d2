"""Which models leave memory, as laws over generated snapshots."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.lifecycle.eviction_policy import Plan, Resident, Verdict, plan_evictions

NOW_NS = 1000
needs = st.integers(-5, 120)
ages = st.integers(0, 200)


@st.composite
def snapshots(draw: st.DrawFn, *, num_bytes: int | None = None) -> list[Resident]:
    sizes = st.integers(0, 20) if num_bytes is None else st.just(num_bytes)
    rows = st.tuples(sizes, st.integers(700, NOW_NS), st.integers(700, NOW_NS), st.integers(0, 1))
    drawn = draw(st.lists(rows, max_size=8))
    return [Resident(f"m{number}", *row) for number, row in enumerate(drawn)]


def sizes_of(rows: list[Resident], plan: Plan) -> list[int]:
    return [row.num_bytes for row in rows if row.name in plan.evict]


def may_go(row: Resident, min_loaded_ns: int) -> bool:
    return not row.num_users and NOW_NS - row.ready_since_ns >= min_loaded_ns


@given(snapshots(), needs, ages)
def test_nobody_in_use_and_nobody_who_has_just_come_goes(
    rows: list[Resident], needed_bytes: int, min_loaded_ns: int
) -> None:
    plan = plan_evictions(rows, needed_bytes, NOW_NS, min_loaded_ns)
    assert all(may_go(row, min_loaded_ns) for row in rows if row.name in plan.evict)


@given(snapshots(), needs, ages)
def test_what_goes_is_enough_and_none_of_it_goes_for_nothing(
    rows: list[Resident], needed_bytes: int, min_loaded_ns: int
) -> None:
    plan = plan_evictions(rows, needed_bytes, NOW_NS, min_loaded_ns)
    gone = sizes_of(rows, plan)
    assert bool(gone) is (plan.verdict is Verdict.ENOUGH and needed_bytes > 0)
    if gone:
        assert sum(gone) >= needed_bytes
        assert sum(gone) - min(gone) < needed_bytes


@given(snapshots(), needs, ages)
def test_the_verdict_is_the_truth(
    rows: list[Resident], needed_bytes: int, min_loaded_ns: int
) -> None:
    plan = plan_evictions(rows, needed_bytes, NOW_NS, min_loaded_ns)
    now = sum(row.num_bytes for row in rows if may_go(row, min_loaded_ns))
    ever = sum(row.num_bytes for row in rows)
    expected = Verdict.ENOUGH if needed_bytes <= max(0, now) else Verdict.BUSY
    assert plan.verdict is (Verdict.HOPELESS if ever < needed_bytes > 0 else expected)


@given(snapshots(num_bytes=7), needs, ages)
def test_among_equals_the_least_recently_used_go(
    rows: list[Resident], needed_bytes: int, min_loaded_ns: int
) -> None:
    plan = plan_evictions(rows, needed_bytes, NOW_NS, min_loaded_ns)
    gone = [row.last_used_ns for row in rows if row.name in plan.evict]
    stay = [
        row.last_used_ns
        for row in rows
        if may_go(row, min_loaded_ns) and row.name not in plan.evict
    ]
    assert not gone or not stay or max(gone) <= min(stay)


@given(snapshots(), needs, ages)
def test_one_that_has_to_wait_is_told_until_when(
    rows: list[Resident], needed_bytes: int, min_loaded_ns: int
) -> None:
    """Looking again at that instant sees at least one more that may go."""
    plan = plan_evictions(rows, needed_bytes, NOW_NS, min_loaded_ns)
    if plan.look_again_ns is None:
        young = [row for row in rows if not row.num_users and not may_go(row, min_loaded_ns)]
        assert plan.verdict is not Verdict.BUSY or not young
        return
    assert plan.look_again_ns > NOW_NS
    later = plan_evictions(rows, needed_bytes, plan.look_again_ns, min_loaded_ns)
    assert later.verdict is Verdict.ENOUGH or later.num_young < plan.num_young


@given(snapshots(), needs, ages)
def test_the_order_of_the_snapshot_does_not_matter(
    rows: list[Resident], needed_bytes: int, min_loaded_ns: int
) -> None:
    forth = plan_evictions(rows, needed_bytes, NOW_NS, min_loaded_ns)
    assert forth == plan_evictions(rows[::-1], needed_bytes, NOW_NS, min_loaded_ns)
