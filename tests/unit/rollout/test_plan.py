"""At which level the tests of a plan decide."""

from __future__ import annotations

import pytest

from penstock.rollout.plan import levels
from penstock.rollout.spec import ErrorRateGate, LatencyGate, OutcomeGate, PrometheusGate
from tests.unit.rollout.rollouts import SHADOW, a_spec

PROMETHEUS = PrometheusGate(url="http://p", query="q", max=1)
CLICKS = OutcomeGate(name="clicks", max_loss=1)


@pytest.mark.parametrize(
    ("fields", "tests"),
    [
        ({"gates": ()}, 3),  # two steps and the bake: of answers that are no numbers
        ({"gates": (ErrorRateGate(), LatencyGate())}, 9),
        ({"gates": (ErrorRateGate(),), "shadow": SHADOW}, 7),
        ({"gates": (PROMETHEUS,)}, 3),
        ({"gates": (CLICKS,)}, 5),  # the bake goes on with the test of the last step
    ],
)
def test_every_test_has_an_equal_part(fields: dict[str, object], tests: int) -> None:
    level = levels(a_spec(**fields, false_rollback=0.01, false_promotion=0.05))
    assert level.fail == pytest.approx(0.01 / tests)
    assert level.promote == 0.05
