"""Laws of the batch policy."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.repository.manifest import Batching, Pad
from penstock.scheduler.batch_policy import Candidate, Dispatch, WaitUntil, choose_batch

candidates = st.lists(
    st.builds(
        Candidate,
        rows=st.integers(0, 9),
        key=st.sampled_from([None, (), "other"]),
        length=st.integers(0, 12),
        arrived_ns=st.integers(0, 2_000_000_000),
    ),
    min_size=1,
    max_size=20,
)
options = st.builds(
    Batching,
    max_queue_delay_s=st.sampled_from([0.0, 0.5]),
    pad=st.sampled_from([None, Pad(bucket_width=1), Pad(bucket_width=5)]),
    preferred_batch_sizes=st.lists(st.integers(1, 8), max_size=3).map(tuple),
)
NOW_NS = 2_000_000_000


@given(candidates, options, st.integers(0, 16))
def test_a_batch(waiting: list[Candidate], options: Batching, max_rows: int) -> None:
    choice = choose_batch(waiting, NOW_NS, max_rows, options)
    head = waiting[0]
    if isinstance(choice, WaitUntil):
        assert options.max_queue_delay_s > 0
        assert choice.at_ns == head.arrived_ns + int(options.max_queue_delay_s * 1e9) > NOW_NS
        return
    assert choice.indices[0] == 0
    assert list(choice.indices) == sorted(set(choice.indices))
    batch = [waiting[index] for index in choice.indices]
    assert {c.key for c in batch} == {head.key}
    if options.pad is not None:
        assert all(abs(c.length - head.length) <= options.pad.bucket_width for c in batch)
    assert len(batch) == 1 or head.key is not None
    assert sum(c.rows for c in batch) <= max(max_rows, head.rows)


@given(candidates, options, st.integers(0, 16))
def test_in_the_end_it_runs(waiting: list[Candidate], options: Batching, max_rows: int) -> None:
    """Whoever is oldest is not put off for ever."""
    choice = choose_batch(waiting, NOW_NS, max_rows, options)
    if isinstance(choice, WaitUntil):
        choice = choose_batch(waiting, choice.at_ns, max_rows, options)
    assert isinstance(choice, Dispatch)
