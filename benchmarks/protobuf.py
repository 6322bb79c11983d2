"""The few pieces of the protobuf wire format that the benchmarks encode and decode by hand.

No generated code of any arm is used to judge it.
"""

from __future__ import annotations

import struct


def varint(value: int) -> bytes:
    """Return the base-128 form of `value`, which is not negative."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def bytes_field(number: int, payload: bytes) -> bytes:
    """Return the length-delimited field `number` with `payload`."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the value at `at` and where the next field begins."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(message: bytes) -> list[tuple[int, bytes]]:
    """Return number and payload of each length-delimited field of `message`, in order."""
    found, at = [], 0
    while at < len(message):
        key, at = read_varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 2:
            size, at = read_varint(message, at)
            found.append((number, message[at : at + size]))
            at += size
        elif wire_type == 0:
            _, at = read_varint(message, at)
        else:
            at += 8 if wire_type == 1 else 4
    return found


def grpc_frame(message: bytes) -> bytes:
    """Return `message` as gRPC sends it: a compression flag, the length, the bytes."""
    return struct.pack(">BI", 0, len(message)) + message
