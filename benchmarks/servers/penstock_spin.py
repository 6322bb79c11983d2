# ruff: noqa: F821 -- a datatype in Rows is a string, not a name
"""Penstock's model of the workload `gil` (copied to model.py)."""

from typing import TypedDict

import penstock
from penstock import Rows


class Answer(TypedDict):
    """The number, and one more."""

    y: Rows["FP32", 1]


class Spin(penstock.Model):
    """About 1 ms of pure Python a row, which holds the interpreter's lock."""

    def predict(self, x: Rows["FP32", 1]) -> Answer:
        """Add up numbers for each row; return x + 1."""
        for _ in range(len(x)):
            total = 0
            for number in range(27_000):
                total += number
        return {"y": x + 1}
