"""A manifest's options as a runtime's own."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.core.errors import LoadFailed
from penstock.runtime.read_options import read_options
from tests.contract.runtime_contract import artifact


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    streams: int = 1


def read(**options: Any) -> Options:
    return read_options(artifact(Path("m.xml"), "openvino", runtime_options=options), Options)


def test_they_are_read() -> None:
    assert read() == Options(1)
    assert read(streams=2) == Options(2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"stream": 2}, "Object contains unknown field `stream`"),
        ({"streams": "2"}, "Expected `int`, got `str` - at `$.streams`"),
    ],
)
def test_wrong_ones_name_the_model_the_runtime_and_the_field(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(LoadFailed) as caught:
        read(**options)
    assert caught.value.message == f"'m' version 1: runtime_options of 'openvino': {text}"
