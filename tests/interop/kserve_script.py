"""What ``test_kserve.py`` runs in a process of its own.

KServe's and Triton's generated messages share their names, so one process cannot hold both.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig

A = np.arange(16, dtype=np.int32).reshape(1, 16)


def simple_request(binary: bool) -> InferRequest:
    """A request for the model ``simple``."""
    inputs = []
    for name in ("INPUT0", "INPUT1"):
        value = InferInput(name, list(A.shape), "INT32")
        value.set_data_from_numpy(A, binary_data=binary)
        inputs.append(value)
    return InferRequest("simple", inputs, request_id="r-1")


async def rest_health(url: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, "simple")
        assert not await client.is_model_ready(url, "nobody")


async def rest_inference(url: str, binary: bool) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        response = await client.infer(url, simple_request(binary), model_name="simple")
    assert response.id == "r-1"
    outputs = {output.name: output.as_numpy() for output in response.outputs}
    np.testing.assert_array_equal(outputs["OUTPUT0"].reshape(1, 16), A + A)


async def rest_json(url: str) -> None:
    await rest_inference(url, binary=False)


async def rest_binary(url: str) -> None:
    await rest_inference(url, binary=True)


async def grpc(address: str) -> None:
    async with InferenceGRPCClient(address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("simple")
        for binary in (True, False):
            response = await client.infer(simple_request(binary))
            outputs = {output.name: output.as_numpy() for output in response.outputs}
            np.testing.assert_array_equal(outputs["OUTPUT1"].reshape(1, 16), A - A)


CHECKS = {
    "rest_health": rest_health,
    "rest_json": rest_json,
    "rest_binary": rest_binary,
    "grpc": grpc,
}

if __name__ == "__main__":
    url, address, *names = sys.argv[1:]
    for name in names:
        asyncio.run(CHECKS[name](address if name == "grpc" else url))
        sys.stdout.write(f"{name} ok\n")
