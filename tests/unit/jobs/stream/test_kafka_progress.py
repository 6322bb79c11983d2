"""KafkaProgress: what may be committed, and whose turn it is."""

from penstock.jobs.stream.kafka_progress import KafkaProgress
from penstock.jobs.stream.record import Record

PLACE = ("t", "0")


def record(offset: int, turn: int = 1, partition: str = "0", time_ms: int = 0) -> Record:
    return Record("t", partition, str(offset), b"", handle=turn, time_ms=time_ms)


def took(progress: KafkaProgress, *offsets: int, turn: int = 1) -> list[Record]:
    records = [record(offset, turn) for offset in offsets]
    assert all(progress.take(one) for one in records)
    return records


def test_due_is_one_beyond_the_last_that_is_settled_with_all_before() -> None:
    progress = KafkaProgress()
    a, b, c = took(progress, 5, 7, 8)
    progress.settle([b])
    assert progress.due() == {}
    progress.settle([a])
    assert progress.due() == {PLACE: 8}
    progress.settle([c])
    assert progress.due() == {PLACE: 9}


def test_what_was_told_is_not_due_until_it_failed() -> None:
    progress = KafkaProgress()
    progress.settle(took(progress, 1, 2))
    due = progress.due()
    progress.told(due)
    assert progress.due() == {}
    progress.untold([PLACE])
    assert progress.due() == {PLACE: 3}


def test_a_turn_that_is_over_counts_no_more() -> None:
    progress = KafkaProgress()
    old = took(progress, 1, 2, 3)
    progress.settle(old[:1])
    assert progress.due([PLACE]) == {PLACE: 2}
    progress.end({PLACE: 1})
    assert not progress.is_ours(old[1])
    assert not progress.take(record(4))
    progress.settle(old)
    assert progress.due() == {}
    new = took(progress, 2, 3, turn=2)
    progress.settle(old)
    assert progress.due() == {}
    assert progress.is_ours(new[0])
    assert not progress.is_ours(old[1])


def test_a_turn_may_end_before_any_record_of_it_came() -> None:
    progress = KafkaProgress()
    progress.end({PLACE: 3})
    assert not progress.take(record(0, turn=3))
    assert progress.take(record(0, turn=4))


def test_an_earlier_turns_record_does_not_come_back_into_a_later_one() -> None:
    progress = KafkaProgress()
    took(progress, 0, turn=2)
    assert not progress.take(record(1, turn=1))


def test_a_record_taken_twice_counts_once() -> None:
    progress = KafkaProgress()
    took(progress, 0)
    assert not progress.take(record(0))


def test_what_was_told_is_unstored_until_the_broker_says_that_it_has_it() -> None:
    progress = KafkaProgress()
    a, b = took(progress, 0, 1)
    assert progress.unstored() == {}
    progress.settle([a])
    progress.told(progress.due())
    assert progress.due() == {}
    assert progress.unstored() == {PLACE: 1}
    assert progress.unstored([("t", "9")]) == {}
    progress.stored({PLACE: 1, ("t", "9"): 4})
    assert progress.unstored([PLACE]) == {}
    progress.settle([b])
    assert progress.unstored([PLACE]) == {PLACE: 2}


def test_whose_turn_it_is() -> None:
    progress = KafkaProgress()
    took(progress, 0, turn=3)
    assert progress.turns([PLACE, ("t", "9")]) == {PLACE: 3}


def test_where_somebody_else_would_begin() -> None:
    progress = KafkaProgress()
    assert progress.next_offset(PLACE) is None
    a, b = took(progress, 4, 5)
    assert progress.next_offset(PLACE) == (4, False)
    progress.settle([a])
    assert progress.next_offset(PLACE) == (5, False)
    progress.settle([b])
    assert progress.next_offset(PLACE) == (6, True)


def test_the_oldest_is_the_first_that_is_not_settled_with_all_before() -> None:
    progress = KafkaProgress()
    records = [record(n, time_ms=100 + n) for n in range(3)]
    for one in records:
        progress.take(one)
    progress.settle(records[1:2])
    assert list(progress.oldest_ms()) == [100]
    progress.settle(records[:1])
    assert list(progress.oldest_ms()) == [102]
    progress.settle(records[2:])
    assert list(progress.oldest_ms()) == []
