"""What a worker is started with."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import ByteSize, Instances, Manifest
from penstock.runtime.process.worker_options import worker_options


def artifact(root: Path, **instances: Any) -> ArtifactRef:
    return ArtifactRef(
        id=ServableId("m", 1),
        path=root / "model.py",
        root=root,
        runtime="python",
        class_name=None,
        manifest=Manifest(instances=Instances(kind="process", **instances)),
        num_bytes=1,
        revision="r",
    )


def test_by_default_it_is_our_own_interpreter_and_environment(tmp_path: Path) -> None:
    options = worker_options(artifact(tmp_path), 0, 300.0)
    assert options.python == sys.executable
    assert dict(options.env) == {**os.environ, "PYTHONUNBUFFERED": "1"}
    assert (options.working_dir, options.max_memory_bytes, options.cpus) == (None, 0, ())


def test_an_environment_of_its_own_hears_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (tmp_path / "1").mkdir()
    ref = artifact(tmp_path / "1", python="venv", env={"MOOD": "good"}, max_memory=ByteSize(5))
    options = worker_options(ref, 0, 300.0)
    assert options.python == str(python), "the link, which makes the environment"
    assert "PYTHONPATH" not in options.env
    assert options.env["MOOD"] == "good"
    assert options.env["PATH"].split(os.pathsep)[0] == str(python.parent)
    assert options.max_memory_bytes == 5


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"python": "gone"}, r"instances.python: no virtual environment .* 'gone'; make one"),
        ({"working_dir": "gone"}, "instances.working_dir: 'gone' is no folder"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, fields: dict[str, str], text: str) -> None:
    with pytest.raises(LoadFailed, match=f"'m' version 1: {text}"):
        worker_options(artifact(tmp_path, **fields), 0, 300.0)


def test_copies_with_few_processors_are_spread_over_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3, 5})

    def cpus(index: int, count: int) -> tuple[int, ...]:
        return worker_options(artifact(tmp_path, cpus=count), index, 300.0).cpus

    assert [cpus(index, 1) for index in range(4)] == [(2,), (3,), (5,), (2,)]
    assert [cpus(index, 2) for index in range(2)] == [(2, 3), (2, 5)]
    assert cpus(0, 8) == (2, 3, 5)
    assert cpus(0, 0) == ()
