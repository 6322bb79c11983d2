"""How patient the supervisor is."""

from penstock.app.processes.patience import Patience


def test_the_first_one_comes_again_at_once_then_ever_later() -> None:
    patience = Patience()
    waits = [patience.died(None).delay_s for _ in range(7)]
    assert waits == [0, 0.5, 1, 2, 10, 10, 10]


def test_one_that_never_came_up_five_times_is_lost() -> None:
    patience = Patience()
    for _ in range(4):
        patience.died(None)
        assert not patience.is_lost
    patience.died(None)
    assert patience.is_lost


def test_one_that_comes_up_is_not_lost_but_comes_later() -> None:
    patience = Patience()
    waits = [patience.died(1.0).delay_s for _ in range(9)]
    assert waits[-1] == 10
    assert not patience.is_lost


def test_one_that_was_sound_comes_at_once() -> None:
    patience = Patience()
    for _ in range(4):
        patience.died(0.1)
    assert patience.died(60.0).delay_s == 0
    assert patience.died(0.1).delay_s == 0.5
