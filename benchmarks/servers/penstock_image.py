# ruff: noqa: F821 -- a datatype in Rows is a string, not a name
"""Penstock's model of the workload `image` (copied to model.py)."""

from typing import TypedDict

import numpy as np

import penstock
from penstock import Rows


class Means(TypedDict):
    """The mean of each channel."""

    means: Rows["FP32", 4]


class Image(penstock.Model):
    """The mean of each channel of an image."""

    inline_safe = True

    def predict(self, image: Rows["FP32", 4, 256, 256]) -> Means:
        """Return the means."""
        return {"means": image.mean(axis=(2, 3), dtype=np.float32)}
