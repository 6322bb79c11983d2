"""What the gRPC door answers, free of any engine: bytes of a message in, bytes of one out.

``GrpcApi`` has the methods by path; ``server/grpc.py`` (grpcio) and ``server/grpc_http2``
(libnghttp2) carry them over the wire.
"""
