"""TensorFlow: a stack of dense layers as a SavedModel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from benchmarks.engines.engine import BATCH_ROWS, Engine

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 1024
LAYERS = 6


class Stack(tf.Module):
    """`LAYERS` products of `WIDTH` by `WIDTH`, each with a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(tf.random.stateless_normal((WIDTH, WIDTH), (0, 0)) * 0.03)

    @tf.function(input_signature=[tf.TensorSpec((None, WIDTH), tf.float32, "x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the last layer as `y`."""
        for _ in range(LAYERS):
            x = tf.nn.relu(x @ self.weight)
        return {"y": x}


def make(version: Path) -> Engine:
    """Save the stack; run its signature with one thread across and within operators."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    stack = Stack()
    tf.saved_model.save(stack, str(version), signatures={"serving_default": stack.serve})
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    array = np.random.default_rng(1).normal(size=(BATCH_ROWS, WIDTH)).astype(np.float32)
    options = {"runtime_options": {"inter_op_threads": 1}}
    return Engine({"x": array}, lambda: serve(x=tf.constant(array))["y"].numpy(), options)
