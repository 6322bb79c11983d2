"""What may still be loaded: of the machine, and of the budget."""

from penstock.core.ids import ServableId
from penstock.core.resources import ResourceEstimate
from penstock.lifecycle.reservations import Reservations

MIB = 1024 * 1024


def of(mib: int) -> ResourceEstimate:
    return ResourceEstimate(mib * MIB)


def test_without_a_budget_the_machine_is_the_limit() -> None:
    machine = [of(100)]
    reservations = Reservations(lambda: machine[0])
    reservations.reserve(1, of(60))
    assert (reservations.fits(of(40)), reservations.fits(of(41))) == (True, False)
    reservations.hold(1, of(60))
    machine[0] = of(40)  # now the machine knows
    assert (reservations.fits(of(40)), reservations.fits(of(41))) == (True, False)
    assert reservations.excess_bytes == 0


def test_a_budget_counts_what_is_held_and_promised() -> None:
    reservations = Reservations(lambda: of(1000), 100 * MIB)
    reservations.reserve(1, of(30))
    reservations.reserve(2, of(30))
    reservations.hold(1, of(50))
    assert (reservations.of(1), reservations.of(2)) == (50 * MIB, 30 * MIB)
    assert reservations.missing_bytes(of(25)) == 5 * MIB
    reservations.release(2)
    assert (reservations.fits(of(50)), reservations.fits(of(51))) == (True, False)
    reservations.release(1)
    assert (reservations.fits(of(100)), reservations.held_bytes) == (True, 0)


def test_a_machine_smaller_than_the_budget_is_the_limit() -> None:
    reservations = Reservations(lambda: of(10), 100 * MIB)
    assert (reservations.fits(of(10)), reservations.fits(of(11))) == (True, False)


def test_what_turned_out_larger_is_an_excess_and_nothing_fits_but_nothing() -> None:
    reservations = Reservations(lambda: of(1000), 100 * MIB)
    reservations.reserve(1, of(10))
    reservations.hold(1, of(130))
    assert reservations.excess_bytes == 30 * MIB
    assert (reservations.fits(of(0)), reservations.fits(ResourceEstimate(1))) == (True, False)
    text = reservations.refusal(ServableId("m", 1), of(7)).message
    assert text == (
        "'m' version 1 needs 7 MiB of memory, and there is no room now: "
        "0 B of the budget of 100 MiB are free"
    )


def test_a_small_model_is_refused_with_sizes_that_differ() -> None:
    reservations = Reservations(lambda: of(1000), 4096)
    reservations.reserve(1, ResourceEstimate(3072))
    error = reservations.refusal(ServableId("m", 1), ResourceEstimate(1025))
    assert error.message == (
        "'m' version 1 needs 1.1 KiB of memory, and there is no room now: "
        "1 KiB of the budget of 4 KiB are free"
    )
    assert error.retryable


def test_what_is_larger_than_the_whole_budget_is_told_so_and_never_tried_again() -> None:
    reservations = Reservations(lambda: of(1000), 4096)
    error = reservations.refusal(ServableId("m", 1), ResourceEstimate(4097))
    assert error.message == (
        "'m' version 1 needs 4.1 KiB of memory, more than the whole budget of 4 KiB: "
        "raise memory.budget_bytes"
    )
    assert not error.retryable


def test_where_the_machine_is_the_limit_the_budget_is_not_named() -> None:
    reservations = Reservations(lambda: of(10), 100 * MIB)
    assert reservations.refusal(ServableId("m", 1), of(11)).message == (
        "'m' version 1 needs 11 MiB of memory, and there is no room now: 10 MiB are free"
    )
