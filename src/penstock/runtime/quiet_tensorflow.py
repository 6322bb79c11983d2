"""TensorFlow and Keras, imported as a server wants them: silent, and one upon the other.

Both read these variables when they are imported, so that no other module of ours imports them. What
the process's environment says already holds.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras  # see above
import tensorflow as tf  # see above

__all__ = ["keras", "tf"]
