"""The gRPC door on libnghttp2: HTTP/2 in C, gRPC and asyncio here.

``Http2GrpcServer`` (server.py) listens; a ``Connection`` (connection.py) is one client and owns a
``Session`` (session.py), which is libnghttp2's state of it; a ``Stream`` (stream.py) is one call.
``library.py`` opens the shared library with the declarations of ``nghttp2_declarations.py``.
Evidence: docs/decisions/0016-grpc-on-nghttp2.md.
"""
