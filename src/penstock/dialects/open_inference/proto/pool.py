"""The descriptor pool of the generated messages."""

from google.protobuf import descriptor_pool

POOL = descriptor_pool.DescriptorPool()
"""Holds ``grpc_predict_v2.proto`` and ``model_config.proto``; give it to server reflection."""
