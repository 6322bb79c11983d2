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
    assert text.endswith("needs 7 MiB of memory, 0 MiB of the budget of 100 MiB are available")
