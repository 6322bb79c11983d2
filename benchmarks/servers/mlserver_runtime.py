"""Peer: MLServer, a custom runtime around the workload's model."""

import base64

import numpy as np
import workload_model
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput


def tensor_of(given: RequestInput) -> np.ndarray:
    """Return an input as an array; an image may come as base64 text, which REST has for bytes."""
    if given.datatype == "BYTES":
        return workload_model.image_of(base64.b64decode(given.data[0]))["image"]
    return NumpyCodec.decode_input(given)


class Runtime(MLModel):
    """Answers V2 requests with what the model says."""

    async def load(self) -> bool:
        """Open the model in the process that is to run it."""
        self._model = workload_model.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run one request, or one batch of them that MLServer has merged."""
        inputs = {given.name: tensor_of(given) for given in payload.inputs}
        outputs = self._model.predict(inputs)
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(name, value) for name, value in outputs.items()],
        )
