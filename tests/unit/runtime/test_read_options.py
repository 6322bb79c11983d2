"""A manifest's options as a runtime's own."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from penstock.core.errors import LoadFailed
from penstock.runtime.read_options import read_options, wrong_option
from tests.contract.runtime_contract import artifact


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    streams: Annotated[int, Meta(ge=1)] = 1
    names: tuple[str, ...] = ()
    level: Literal["low", "high"] = "low"


def read(**options: Any) -> Options:
    return read_options(artifact(Path("m.xml"), "openvino", runtime_options=options), Options)


def test_they_are_read() -> None:
    assert read() == Options(1)
    assert read(streams=2) == Options(2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"stream": 2}, "stream: unknown field, did you mean 'streams'?"),
        ({"far": 2}, "far: unknown field, expected one of: streams, names, level"),
        ({"streams": "2"}, "streams: expected a whole number >= 1, got text '2'"),
        ({"streams": 0}, "streams: expected a whole number >= 1, got 0"),
        ({"streams": True}, "streams: expected a whole number >= 1, got true"),
        ({"names": "a"}, "names: expected a list, got text 'a'"),
        ({"names": ["a", 1]}, "names[1]: expected text, got 1"),
        ({"level": "hi"}, "level: expected 'high' or 'low', got text 'hi'"),
        ({"level": None}, "level: expected 'high' or 'low', got nothing (null)"),
    ],
)
def test_wrong_ones_name_the_model_the_runtime_and_the_field(
    options: dict[str, Any], text: str
) -> None:
    with pytest.raises(LoadFailed) as caught:
        read(**options)
    assert caught.value.message == f"'m' version 1: runtime 'openvino': $.runtime_options.{text}"


def test_one_that_does_not_go_with_its_model_is_told_alike() -> None:
    error = wrong_option(artifact(Path("m.xml"), "openvino"), "streams", "the model has none")
    assert error.message == (
        "'m' version 1: runtime 'openvino': $.runtime_options.streams: the model has none"
    )
