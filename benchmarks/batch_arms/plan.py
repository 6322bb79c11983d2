"""What every arm is told, as JSON on its command line."""

from __future__ import annotations

import json
import sys
from typing import NamedTuple


class Plan(NamedTuple):
    """One arm's work.

    Attributes:
        data: "tweets" or "tabular".
        model: the model's version folder.
        input: the folder of Parquet files.
        output: the folder to write to; marks of time go beside it.
        marks: an empty folder.
        workers: how many copies of the model compute at once.
        batch: rows that a copy is given together.
        kind: how, where an arm has several ways.
    """

    data: str
    model: str
    input: str
    output: str
    marks: str
    workers: int = 1
    batch: int = 1024
    kind: str = "threads"

    @property
    def columns(self) -> list[str]:
        """What the model reads."""
        return ["text"] if self.data == "tweets" else [f"f{at}" for at in range(20)]

    @property
    def scores(self) -> str:
        """The name of the column of scores."""
        return "scores" if self.data == "tweets" else "probabilities"


def asked() -> Plan:
    """Return the plan of the command line."""
    return Plan(**json.loads(sys.argv[1]))
