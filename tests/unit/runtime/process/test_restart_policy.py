"""When a worker that died comes back."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.runtime.process.restart_policy import Restart, RestartOptions, next_restart

OPTIONS = RestartOptions(max_crashes=5, initial_backoff_s=0.5, max_backoff_s=1.5, quarantine_s=60)


def test_the_first_is_at_once_then_it_takes_longer_and_then_there_is_quarantine() -> None:
    assert [next_restart(n, OPTIONS) for n in range(1, 7)] == [
        Restart(0.0),
        Restart(0.5),
        Restart(1.0),
        Restart(1.5),
        Restart(60, is_quarantined=True),
        Restart(60, is_quarantined=True),
    ]


@given(st.integers(1, 10_000))
def test_it_never_waits_less_for_more_crashes(crashes: int) -> None:
    options = RestartOptions()
    assert next_restart(crashes, options).delay_s <= next_restart(crashes + 1, options).delay_s
