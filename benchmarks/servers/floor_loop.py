"""The floor's loop: ``python floor_loop.py MODEL BATCH SECONDS`` prints {"items_s": ...}."""

import json
import sys
import time

import numpy as np
import onnxruntime


def main(model: str, batch: int, duration_s: float) -> None:
    """Run the digits model for `duration_s` after a short warm-up."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {"pixels": np.zeros((batch, 64), np.float32)}
    outputs = ["label", "probabilities"]
    for _ in range(200):
        session.run(outputs, feed)
    runs, start = 0, time.perf_counter()
    end = start + duration_s
    while time.perf_counter() < end:
        for _ in range(50):
            session.run(outputs, feed)
        runs += 50
    print(json.dumps({"items_s": runs * batch / (time.perf_counter() - start)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
