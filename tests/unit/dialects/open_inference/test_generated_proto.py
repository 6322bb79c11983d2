"""The committed protobuf code is what the tool generates."""

import importlib.util
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[4]


def test_regeneration_changes_nothing() -> None:
    pytest.importorskip("grpc_tools")
    tool = _ROOT / "tools/generate_proto.py"
    spec = importlib.util.spec_from_file_location("generate_proto", tool)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = _ROOT / "src/penstock/dialects/open_inference/proto"
    generated = module.generate()
    assert len(generated) == 5
    for name, text in generated.items():
        assert (folder / name).read_text() == text, name
