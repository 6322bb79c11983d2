"""The Open Inference messages: two ``.proto`` files by hand, the rest from ``tools/generate_proto.py``.

The generated classes live in a descriptor pool of their own (``pool.POOL``), because other
packages (tritonclient, kserve) register the same names in protobuf's default pool and one
process must be able to hold all of them.
"""
