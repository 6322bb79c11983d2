"""Peer: TorchServe, a custom handler around ONNX Runtime (packed by the model archiver)."""

import json
import os
import sys

# A worker sees its own packages and the archive's files; the shared program is beside this one.
sys.path.insert(0, os.environ["BENCH_SERVERS"])

import workload_model
from ts.torch_handler.base_handler import BaseHandler


class Handler(BaseHandler):
    """The workload's model behind TorchServe's hooks."""

    def initialize(self, context) -> None:
        """Open the model in the worker process."""
        self.model = workload_model.load()
        self.initialized = True

    def handle(self, data: list[dict], context) -> list:
        """Answer one batch of requests of one row each."""
        bodies = [row.get("body") or row.get("data") for row in data]
        if workload_model.RAW:
            return [
                self.model.predict(workload_model.image_of(body))["means"].tobytes()
                for body in bodies
            ]
        requests = [body if isinstance(body, dict) else json.loads(body) for body in bodies]
        outputs = self.model.predict(workload_model.batch_of(requests))
        return workload_model.answers_of(outputs, len(requests))
