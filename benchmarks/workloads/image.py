"""Workload `image`: a tensor of 1 MiB and next to no work, where moving bytes sets the pace."""

from __future__ import annotations

import numpy as np

from benchmarks.workloads.workload import Tensors, Workload

SHAPE = (1, 4, 256, 256)
COUNT = 4


def channel_means(image: np.ndarray) -> np.ndarray:
    """Return the mean of each channel: FP32 [batch, 4, 256, 256] to FP32 [batch, 4]."""
    return image.mean(axis=(2, 3), dtype=np.float32)


def image() -> Workload:
    """Return the workload: a few different images, so that no answer can be remembered."""
    source = np.random.default_rng(1)
    samples: tuple[Tensors, ...] = tuple(
        {"image": source.random(SHAPE, np.float32)} for _ in range(COUNT)
    )
    return Workload(
        name="image",
        model="image",
        what="mean of each channel (numpy), one FP32 tensor of 1 MiB [1, 4, 256, 256]",
        onnx=None,
        outputs=("means",),
        samples=samples,
        expected={"means": channel_means(samples[0]["image"])},
        encodings=("binary", "grpc"),
    )
