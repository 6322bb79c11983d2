"""A model's own bound of its batches."""

from pathlib import Path

import pytest

from penstock.core.errors import LoadFailed
from penstock.runtime.batch_limit import check_batch_limit
from tests.contract.runtime_contract import artifact


@pytest.mark.parametrize(("declared", "most"), [(None, None), (64, None), (16, 16), (0, 16)])
def test_it_can_take_what_is_asked(declared: int | None, most: int | None) -> None:
    check_batch_limit(artifact(Path("m.pt2"), "torch", max_batch_size=declared), most)


@pytest.mark.parametrize("declared", [None, 17])
def test_it_cannot(declared: int | None) -> None:
    with pytest.raises(LoadFailed) as caught:
        check_batch_limit(artifact(Path("m.pt2"), "torch", max_batch_size=declared), 16)
    assert caught.value.message == (
        "'m' version 1: the model was exported for at most 16 rows at once: say "
        "max_batch_size: 16 in its model.yaml"
    )
