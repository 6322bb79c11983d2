"""tools/check_size.py: green on this repository, red on each planted breach."""

from __future__ import annotations

import pytest

from tools import check_size

SOURCE = "src/penstock/core/thing.py"


def _breaches(path: str, text: str) -> list[str]:
    return [str(breach) for breach in check_size.check_file(path, text)]


def test_this_repository_is_within_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_size.main() == 0, capsys.readouterr().out


def test_a_file_at_the_limit_passes_and_one_line_more_does_not() -> None:
    assert _breaches(SOURCE, "x = 1\n" * 400) == []
    assert _breaches(SOURCE, "x = 1\n" * 401) == [
        f"{SOURCE}:401: 401 lines, at most 400: split the file"
    ]
    assert _breaches("tests/unit/test_thing.py", "x = 1\n" * 500) == []
    assert len(_breaches("tests/unit/test_thing.py", "x = 1\n" * 501)) == 1


def test_a_function_of_61_lines() -> None:
    text = "def long():\n" + "    x = 1\n" * 60
    assert _breaches(SOURCE, text) == [f"{SOURCE}:1: long has 61 lines, at most 60"]
    assert _breaches(SOURCE, "async " + text) != []


def test_eight_parameters_are_too_many_and_self_is_none() -> None:
    seven = "a, b, c, d, *, e, f, g"
    assert _breaches(SOURCE, f"class C:\n    def f(self, {seven}): ...\n") == []
    assert _breaches(SOURCE, f"def f(z, {seven}): ...\n") == [
        f"{SOURCE}:1: f takes 8 parameters, at most 7: give it a value"
    ]


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "misc", "base"])
def test_a_name_that_says_nothing(name: str) -> None:
    assert len(_breaches(f"src/penstock/core/{name}.py", "")) == 1


@pytest.mark.parametrize(
    "kind",
    ["except Exception:", "except BaseException:", "except (OSError, Exception):", "except:"],
)
def test_catching_everything_away_from_the_boundaries(kind: str) -> None:
    text = f"try:\n    f()\n{kind}\n    pass\n"
    assert _breaches(SOURCE, text) == [
        f"{SOURCE}:3: catches everything; 0 such handlers allowed here"
    ]


def test_a_boundary_has_no_more_and_no_fewer_broad_handlers_than_its_table_says() -> None:
    path = "src/penstock/runtime/onnx_runtime.py"
    one = "try:\n    f()\nexcept Exception:\n    pass\n"
    assert check_size.BROAD[path][0] == 1
    assert _breaches(path, one) == []
    assert len(_breaches(path, one * 2)) == 1
    assert "lower BROAD" in _breaches(path, "")[0]


def test_sleeping_in_a_unit_test() -> None:
    text = "import time\ntime" + ".sleep(1)\n"
    assert _breaches("tests/unit/test_thing.py", text) == [
        "tests/unit/test_thing.py:2: sleeps: step the clock, or wait for an event"
    ]
    assert _breaches("tests/fault/test_thing.py", text) == []


@pytest.mark.parametrize(
    ("text", "breach"),
    [
        ("cache = {}\n", "module-level 'cache' is mutable"),
        ("seen: list[int] = []\n", "module-level 'seen' is mutable"),
        ("names = set()\n", "module-level 'names' is mutable"),
        ("TABLE = {}\ndef f():\n    TABLE['a'] = 1\n", "changes the module's 'TABLE'"),
        ("TABLE = []\ndef f():\n    TABLE.append(1)\n", "changes the module's 'TABLE'"),
        ("N = 0\ndef f():\n    global N\n    N = 1\n", "global N: pass it instead"),
    ],
)
def test_state_in_a_module(text: str, breach: str) -> None:
    assert breach in _breaches(SOURCE, text)[0]


def test_constants_are_no_state() -> None:
    text = "TABLE = {1: 2}\n__all__ = ['TABLE']\ndef f():\n    own = []\n    own.append(TABLE[1])\n"
    assert _breaches(SOURCE, text) == []
