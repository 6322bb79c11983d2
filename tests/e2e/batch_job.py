"""A small batch job in a folder, and how to run it with the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MODEL = """
import threading

import penstock

class Shout(penstock.Model):
    def load(self, context):
        self.wait_s = float(context.options.get("wait_s", 0))
    def predict(self, text: list[str]) -> list[str]:
        threading.Event().wait(self.wait_s if any(text) else 0)
        return [
            penstock.InvalidInput(at, "nothing to shout") if one == "bad" else one.upper()
            for at, one in enumerate(text)
        ]
"""
JOB = """
name: shouts
input: {format: jsonl, path: in}
model: {path: models}
columns: {text: body}
keep: [id]
rename: {output: loud}
output: {format: parquet, path: out}
split_rows: 100
batch_size: 5
on_error: {max_rate: 0.2}
"""


class Job:
    """A job's folder.

    Args:
        folder: where; the job's file, its model and its input are made in it.
        rows: texts of each file of the input.
        wait_s: how long the model takes for a batch.
    """

    def __init__(self, folder: Path, rows: Sequence[Sequence[str]], wait_s: float = 0) -> None:
        self.folder = folder
        self.write_model(MODEL)
        (folder / "models/shout/model.yaml").write_text(f"runtime_options: {{wait_s: {wait_s}}}\n")
        (folder / "job.yaml").write_text(JOB)
        (folder / "in").mkdir()
        number = 0
        for at, texts in enumerate(rows):
            lines = []
            for text in texts:
                lines.append(json.dumps({"id": number, "body": text}))
                number += 1
            (folder / f"in/{at}.jsonl").write_text("\n".join(lines) + "\n")

    def write_model(self, code: str) -> None:
        path = self.folder / "models/shout/1/model.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)

    def edit(self, old: str, new: str) -> None:
        """Change the job's file."""
        path = self.folder / "job.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    @property
    def parts(self) -> dict[str, bytes]:
        """The parts of the output: name to bytes."""
        return {path.name: path.read_bytes() for path in (self.folder / "out").glob("part-*")}

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows of the output, by their first column."""
        found = [
            tuple(row.values())
            for path in (self.folder / "out").glob("part-*")
            for row in pq.read_table(path).to_pylist()
        ]
        return sorted(found)

    @property
    def is_whole(self) -> bool:
        return (self.folder / "out/_SUCCESS").exists()
