"""Columns style: one array per input, the rows of all waiting requests at once.

penstock serve examples/scale.py
curl localhost:8080/v2/models/scale/infer -d '{"inputs": [
    {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]},
    {"name": "factor", "datatype": "FP32", "shape": [1], "data": [10]}]}'
"""

from __future__ import annotations

from penstock import Model, Rows

Vectors = Rows["FP32", 4]
Numbers = Rows["FP32"]


class Scale(Model):
    """Multiplies each row by a factor of its own."""

    inline_safe = True

    def predict(self, x: Vectors, factor: Numbers) -> Vectors:
        """Scale ``x[row]`` by ``factor[row]``."""
        return x * factor[:, None]
