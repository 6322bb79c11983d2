"""What all commands share, and how values are printed as JSON."""

from __future__ import annotations

import json

import msgspec
import pytest

import penstock
from penstock.app.cli.options import json_text
from tests.unit.app.shell import Shell


@pytest.mark.parametrize("command", [("serve",), ("predict",), ("models", "ready")])
def test_help_is_plain_text(shell: Shell, command: tuple[str, ...]) -> None:
    ran = shell(*command, "--help")
    assert (ran.code, "[required]" in ran.out, "\\" in ran.out) == (0, True, False)


def test_version(shell: Shell) -> None:
    assert shell("--version") == (0, f"penstock {penstock.__version__}\n", "")


def test_names_to_load_are_for_explicit_control(shell: Shell) -> None:
    ran = shell("serve", "models", "--load-model", "m")
    assert ran == (
        2,
        "",
        "penstock: --load-model needs --model-control explicit: "
        "with 'watch' the files say what is loaded\n",
    )


def test_lists_of_numbers_take_one_line() -> None:
    value = {"shape": [1, 2], "data": [1.5, -2e-09, None, True], "names": ["a\n[1,\n2]"], "e": []}
    text = json_text(value, indent=2)
    assert '  "shape": [1, 2],\n  "data": [1.5, -2e-09, null, true],\n' in text
    assert json.loads(text) == value
    assert json_text(value) == json.dumps(value)


class Held(msgspec.Struct):
    ids: tuple[int, ...]


def test_structs_are_printed_as_json_wherever_they_stand() -> None:
    assert json_text([{"held": Held((1, 2))}]) == '[{"held": {"ids": [1, 2]}}]'
    with pytest.raises(TypeError):
        json_text(object())


def test_an_address_that_is_none_is_told_with_one_that_is(shell: Shell) -> None:
    ran = shell("jobs", "list", "--url", "http://here:99999")
    assert (ran.code, ran.out) == (2, "")
    assert "--url http://here:99999: expected an address such as http://127.0.0.1:8080" in ran.err


def test_workers_are_one_at_least(shell: Shell) -> None:
    ran = shell("batch", "run", "job.yaml", "--workers", "0")
    assert (ran.code, "Invalid value for '--workers'" in ran.err) == (2, True)
