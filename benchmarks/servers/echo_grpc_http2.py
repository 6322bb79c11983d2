"""Echo over gRPC on libnghttp2: Penstock's own server with constant ModelInfer bytes.

Run with Penstock's own interpreter: ``python echo_grpc_http2.py PORT ANSWER_FILE``.
"""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import uvloop

from penstock.server.grpc_api.call import GrpcOptions
from penstock.server.grpc_http2.library import require_library
from penstock.server.grpc_http2.server import Http2GrpcServer


async def main(port: int, answer: bytes) -> None:
    """Serve ModelInfer on 127.0.0.1:`port` until the process is ended."""

    async def model_infer(request: bytes, call: object) -> list[bytes]:
        return [answer]

    api = SimpleNamespace(
        unary={"/inference.GRPCInferenceService/ModelInfer": model_infer},
        streaming={},
        health=SimpleNamespace(start=lambda: None, stop=lambda: None),
    )
    server = Http2GrpcServer(api, GrpcOptions(), require_library())
    await server.start(f"127.0.0.1:{port}")
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
