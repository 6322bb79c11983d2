"""raised_at: the line of the user's own code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.core.byte_size import ByteSize
from penstock.core.raised_at import raised_at

CODE = """
import json

def inner(text):
    return json.loads(text)

def outer(text):
    return inner(text)
"""


def test_the_innermost_line_that_is_no_librarys(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(CODE)
    module: dict[str, object] = {}
    exec(compile(CODE, path, "exec"), module)
    outer = module["outer"]
    assert callable(outer)
    with pytest.raises(json.JSONDecodeError) as raised:
        outer("{")
    assert raised_at(raised.value) == "model.py:5"


def test_an_error_of_nobodys_code_has_no_place() -> None:
    assert raised_at(ValueError("never raised")) == ""
    with pytest.raises(SyntaxError) as raised:
        compile("def", "/models/model.py", "exec")
    assert raised_at(raised.value).startswith("test_raised_at.py:")


def test_our_own_frames_are_passed_over() -> None:
    with pytest.raises(ValueError, match="not a size") as raised:
        ByteSize.parse("much")
    assert raised_at(raised.value).startswith("test_raised_at.py:")
