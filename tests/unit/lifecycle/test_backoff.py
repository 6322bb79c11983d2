"""How soon a model that could not be loaded is tried again."""

from penstock.core.ids import ServableId
from penstock.core.status import VersionState, VersionStatus
from penstock.lifecycle.backoff import Backoff

S = 1_000_000_000


def failure(revision: str = "a") -> list[VersionStatus]:
    return [VersionStatus(ServableId("m", 1), VersionState.FAILED, "no", revision)]


def test_a_pause_begins_with_the_failure_and_doubles_with_the_next() -> None:
    backoff, now_ns, pauses = Backoff(1, 5), 0, []
    for _ in range(5):
        pauses.append(backoff.left_s("m", failure(), now_ns))
        assert backoff.left_s("m", failure(), now_ns + S // 2) == pauses[-1] - 0.5
        now_ns += round(pauses[-1] * S)
        assert backoff.left_s("m", failure(), now_ns) == 0
        backoff.tried_again("m")
    assert pauses == [1, 2, 4, 5, 5]


def test_success_and_new_files_begin_anew() -> None:
    backoff = Backoff(1, 60)
    for _ in range(3):
        backoff.left_s("m", failure(), 0)
        backoff.tried_again("m")
    assert backoff.left_s("m", failure("b"), 0) == 1
    backoff.forget("m")
    backoff.tried_again("m")
    assert backoff.left_s("m", failure("b"), 0) == 1
