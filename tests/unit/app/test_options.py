"""How values are printed as JSON."""

from __future__ import annotations

import json

from penstock.app.cli.options import json_text


def test_lists_of_numbers_take_one_line() -> None:
    value = {"shape": [1, 2], "data": [1.5, -2e-09, None, True], "names": ["a\n[1,\n2]"], "e": []}
    text = json_text(value, indent=2)
    assert '  "shape": [1, 2],\n  "data": [1.5, -2e-09, null, true],\n' in text
    assert json.loads(text) == value
    assert json_text(value) == json.dumps(value)
