"""Peer: a plain FastAPI application that calls ONNX Runtime once per request, on the event loop."""

import numpy as np
from fastapi import FastAPI
from onnx_session import DigitsSession, v2_answer
from pydantic import BaseModel


class Tensor(BaseModel):
    """One V2 input tensor."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferRequest(BaseModel):
    """A V2 inference request."""

    inputs: list[Tensor]


app = FastAPI()
session = DigitsSession()


@app.post("/v2/models/digits/infer")
async def infer(request: InferRequest) -> dict:
    """Answer one V2 request; no await inside, so the model runs on the event loop."""
    tensor = request.inputs[0]
    pixels = np.asarray(tensor.data, np.float32).reshape(tensor.shape)
    return v2_answer(*session.predict(pixels))
