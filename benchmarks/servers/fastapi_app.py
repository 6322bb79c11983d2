"""Peer: a plain FastAPI application that runs the model once per request, on the event loop."""

import numpy as np
import workload_model
from fastapi import FastAPI, Request, Response
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
model = workload_model.load()

if workload_model.RAW:

    @app.post(workload_model.PATH)
    async def infer_raw(request: Request) -> Response:
        """Answer the bare bytes of one tensor with those of another."""
        outputs = model.predict(workload_model.image_of(await request.body()))
        return Response(outputs["means"].tobytes(), media_type="application/octet-stream")

else:

    @app.post(workload_model.PATH)
    async def infer(request: InferRequest) -> dict:
        """Answer one V2 request; no await inside, so the model runs on the event loop."""
        inputs = {
            tensor.name: np.asarray(tensor.data, workload_model.DTYPES[tensor.datatype]).reshape(
                tensor.shape
            )
            for tensor in request.inputs
        }
        return workload_model.v2_answer(model.predict(inputs))
