"""The gRPC door on libnghttp2."""
