"""The documentation says what the code does, and its examples run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.app.load_settings import setting_types
from penstock.core.ids import ServableId
from penstock.core.tensor import Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Manifest
from penstock.runtime.python_runtime import PythonRuntime
from tools import check_docs

ROOT = Path(__file__).parents[2]
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_the_documentation_is_complete_and_fresh() -> None:
    assert check_docs.problems() == []


def test_a_setting_that_is_not_documented_is_noticed() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    for name in setting_types():
        assert check_docs.missing([name], text.replace(f"`{name}`", "")) == [name]


def test_a_stale_table_is_noticed() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    assert check_docs.renew(text) == text
    stale = text.replace("penstock_rows_total", "penstock_lines_total")
    assert check_docs.renew(stale) != stale


def test_every_setting_has_a_meaning() -> None:
    for line in check_docs.settings_table().splitlines():
        assert not line.endswith("|  |"), line


def test_every_kind_of_manifest_field_is_found() -> None:
    fields = set(check_docs.manifest_fields())
    assert {"runtime", "batching.pad.axis", "version_policy.latest", "warmup[].file"} <= fields
    assert "signature.inputs[].name" in fields


def test_a_dead_link_and_a_dead_path_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[x](gone.md) [y](page.md#top) [z](https://example.org) `src/nothing.py`\n")
    assert list(check_docs.dead_paths(page)) == [
        "link to 'gone.md' leads nowhere",
        "there is no 'src/nothing.py'",
    ]


def _models(page: str) -> list[str]:
    blocks = _PYTHON.findall((ROOT / page).read_text())
    return [block for block in blocks if re.search(r"\((penstock\.)?Model\)", block)]


def _load(code: str, tmp_path: Path, client: Any = None) -> Any:
    path = tmp_path / "model.py"
    path.write_text(code)
    artifact = ArtifactRef(
        ServableId("example", 1), path, tmp_path, "python", None, Manifest(), len(code), "1"
    )
    return PythonRuntime().load(artifact, client)


@pytest.mark.parametrize(
    "code", [c for page in ("README.md", "docs/python-models.md") for c in _models(page)]
)
def test_every_model_in_the_guides_loads_and_answers(code: str, tmp_path: Path) -> None:
    answer = {"probabilities": np.eye(10, dtype=np.float32)[[3, 3]]}
    client = SimpleNamespace(infer=lambda *a, **k: answer)
    executable = _load(code, tmp_path, client)
    inputs = []
    for spec in executable.signature.inputs:
        shape = [2 if dim == -1 else dim for dim in spec.shape]
        text = spec.dtype.name == "BYTES"
        array = np.full(shape, b"ok", dtype=object) if text else np.ones(shape, spec.dtype.numpy)
        inputs.append(Tensor(spec.name, spec.dtype, array))
    result = executable.execute(inputs, {})
    assert not result.invalid
    assert [t.name for t in result.outputs] == [s.name for s in executable.signature.outputs]
    assert all(t.shape[0] == 2 for t in result.outputs)
    executable.close()


def test_the_guides_hold_models() -> None:
    assert len(_models("docs/python-models.md")) == 6
    assert len(_models("README.md")) == 1


def test_the_models_of_the_guides_use_public_names_only() -> None:
    for page in ("README.md", "docs/python-models.md"):
        for code in _models(page):
            for names in re.findall(r"from penstock import (.*)", code):
                assert set(names.split(", ")) <= set(penstock.__all__)
    assert "penstock" in sys.modules
