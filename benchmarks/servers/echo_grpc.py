"""Echo over gRPC: a bare `grpc.aio` server that answers constant ModelInfer bytes.

Run with Penstock's own interpreter: ``python echo_grpc.py PORT ANSWER_FILE``.
"""

import sys
from pathlib import Path

import grpc
import uvloop


async def main(port: int, answer: bytes) -> None:
    """Serve ModelInfer on 127.0.0.1:`port` with identity serializers until the process is ended."""

    async def model_infer(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return answer

    handler = grpc.method_handlers_generic_handler(
        "inference.GRPCInferenceService",
        {"ModelInfer": grpc.unary_unary_rpc_method_handler(model_infer)},
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
