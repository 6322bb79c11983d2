"""``stages`` in ``model.yaml``: what it may say, and beside what."""

from __future__ import annotations

import pytest

from penstock.core.errors import ConfigError
from penstock.repository.manifest import Manifest, Stages, StageThreads
from penstock.repository.manifest_file import apply_overrides, parse_manifest

SOURCE = "models/fraud/model.yaml"


def test_stages_are_read() -> None:
    text = b"runtime: python\nstages: {preprocess: {count: 4}, postprocess: {}}"
    manifest = parse_manifest(text, SOURCE)
    assert manifest.stages == Stages(preprocess=StageThreads(count=4), postprocess=StageThreads())
    assert manifest.stages.counts == {"preprocess": 4, "postprocess": 1}


@pytest.mark.parametrize("text", [b"", b"stages: {}", b"stages: {preprocess: null}"])
def test_no_stage_has_threads_of_its_own(text: bytes) -> None:
    manifest = parse_manifest(text, SOURCE)
    assert manifest == Manifest()
    assert manifest.stages.counts == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "stages: {preprocess: {count: 0}}",
            "$.stages.preprocess.count: expected a whole number >= 1, got 0",
        ),
        (
            "stages: {preprocess: {count: many}}",
            "$.stages.preprocess.count: expected a whole number >= 1, got text 'many'",
        ),
        (
            "stages: {preprocess: {threads: 2}}",
            "$.stages.preprocess.threads: unknown field, expected one of: count",
        ),
        (
            "stages: {predict: {count: 2}}",
            "$.stages.predict: unknown field, expected one of: preprocess, postprocess",
        ),
        (
            "stages: {preproces: {}}",
            "$.stages.preproces: unknown field, did you mean 'preprocess'?",
        ),
        ("stages: [preprocess]", "$.stages: expected a mapping, got a list"),
        (
            "runtime: onnx\nstages: {preprocess: {}}",
            "$.stages: only Python models have stages, and the runtime is onnx",
        ),
        (
            "instances: {kind: process}\nstages: {postprocess: {}}",
            "$.stages: only copies on threads have stages apart: leave it out, or say "
            "'kind: thread' in 'instances', where it is process",
        ),
    ],
)
def test_a_wrong_field_is_named(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_manifest(text.encode(), SOURCE)
    assert caught.value.message == f"{SOURCE}: {expected}"


def test_stages_of_processes_mean_nothing_where_there_are_none() -> None:
    manifest = parse_manifest(b"instances: {kind: process}\nstages: {}", SOURCE)
    assert manifest.instances.kind == "process"


def test_an_override_changes_one_stage() -> None:
    manifest = parse_manifest(b"stages: {preprocess: {count: 4}}", SOURCE)
    changed = apply_overrides(manifest, {"stages": {"postprocess": {"count": 2}}})
    assert changed.stages.counts == {"preprocess": 4, "postprocess": 2}
    assert apply_overrides(changed, {"stages": {"preprocess": None}}).stages.counts == {
        "postprocess": 2
    }
