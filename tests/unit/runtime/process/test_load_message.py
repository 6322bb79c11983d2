"""What has to be loaded crosses a socket and is the same."""

from pathlib import Path

import msgspec

from penstock.runtime.process.frame import Load
from penstock.runtime.process.load_message import artifact_of, load_message
from tests.unit.runtime.process.test_worker_options import artifact


def test_an_artifact_is_the_same_on_the_other_side(tmp_path: Path) -> None:
    there = artifact(tmp_path, count=2, max_memory=2**30, env={"A": "b"})
    message = load_message(there, cpus=(1, 2))
    crossed = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Load)
    assert artifact_of(crossed) == there
