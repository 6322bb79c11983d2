"""Sockets: ASGI, gRPC, drain."""
