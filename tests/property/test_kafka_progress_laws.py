"""KafkaProgress: whatever is taken, settled and taken away, no offset is due too early."""

from __future__ import annotations

from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import data, integers, sampled_from

from penstock.jobs.stream.kafka_progress import KafkaProgress
from penstock.jobs.stream.record import Record

PARTITIONS = ("0", "1")


class Progress(RuleBasedStateMachine):
    """Two partitions that come and go, against what is known of each by simple means."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = KafkaProgress()
        self.turn = dict.fromkeys(PARTITIONS, 1)
        self.next = dict.fromkeys(PARTITIONS, 0)
        self.open: dict[str, list[Record]] = {one: [] for one in PARTITIONS}
        self.settled: dict[str, set[int]] = {one: set() for one in PARTITIONS}
        self.old: list[Record] = []

    @rule(partition=sampled_from(PARTITIONS), gap=integers(0, 3))
    def take(self, partition: str, gap: int) -> None:
        offset = self.next[partition] + gap
        self.next[partition] = offset + 1
        record = Record("t", partition, str(offset), b"", handle=self.turn[partition])
        assert self.progress.take(record)
        self.open[partition].append(record)

    @precondition(lambda self: any(self.open.values()))
    @rule(data=data())
    def settle(self, data: object) -> None:
        record = data.draw(sampled_from([r for rs in self.open.values() for r in rs]))  # type: ignore[attr-defined]
        self.progress.settle([record])
        self.open[record.partition].remove(record)
        self.settled[record.partition].add(int(record.position))

    @precondition(lambda self: self.old)
    @rule(data=data())
    def settle_too_late(self, data: object) -> None:
        self.progress.settle([data.draw(sampled_from(self.old))])  # type: ignore[attr-defined]

    @rule(partition=sampled_from(PARTITIONS))
    def end(self, partition: str) -> None:
        self.progress.end({("t", partition): self.turn[partition]})
        self.turn[partition] += 1
        self.old += self.open[partition]
        first = min((int(one.position) for one in self.open[partition]), default=None)
        self.next[partition] = self.next[partition] if first is None else first
        self.open[partition], self.settled[partition] = [], set()

    @rule(told=sampled_from([True, False]))
    def tell(self, told: bool) -> None:
        due = self.progress.due()
        self.progress.told(due)
        assert self.progress.due() == {}
        if not told:
            self.progress.untold(due)
            assert self.progress.due() == due

    @invariant()
    def nothing_is_due_that_is_under_way(self) -> None:
        for (_, partition), offset in self.progress.due().items():
            assert offset - 1 in self.settled[partition]
            assert all(int(one.position) >= offset for one in self.open[partition])

    @invariant()
    def all_that_is_settled_with_all_before_is_known(self) -> None:
        for partition in PARTITIONS:
            found = self.progress.next_offset(("t", partition))
            if found is not None and not self.open[partition]:
                assert found == (max(self.settled[partition]) + 1, True)


TestProgress = Progress.TestCase
