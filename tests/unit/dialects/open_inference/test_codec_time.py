"""What the codecs cost, printed for the reader (``pytest -s``); time is never asserted."""

import random
import sys
import timeit
from collections.abc import Callable

import numpy as np

from penstock.core.messages import InferResponse
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference import grpc_codec, grpc_wire
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.reply import ReplyOptions
from penstock.dialects.open_inference.rest_reply import encode_infer
from tests.unit.dialects.open_inference.requests import body, decode, tensor

_CALLS = 500


def _report(what: str, call: Callable[[], object]) -> None:
    best_s = min(timeit.repeat(call, number=_CALLS, repeat=5)) / _CALLS
    sys.stdout.write(f"{what}: {best_s * 1e6:.1f} us\n")


def test_the_cost_of_one_small_request() -> None:
    values = [round(random.Random(i).random(), 4) for i in range(64)]
    flat, nested = body(tensor(values, [1, 64])), body(tensor([values], [1, 64]))
    with_nan = body(tensor([*values[1:], float("nan")], [1, 64]))
    array = np.array([values], "<f4")
    response = InferResponse("m", 1, (Tensor.from_array("y", array),))
    message = pb.ModelInferRequest(model_name="m", raw_input_contents=[array.tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=[1, 64])
    sys.stdout.write("\n1x64 FP32\n")
    _report("REST decode, flat", lambda: decode(flat))
    _report("REST decode, nested", lambda: decode(nested))
    _report("REST decode, with NaN", lambda: decode(with_nan))
    _report("REST encode, JSON", lambda: encode_infer(response))
    _report("REST encode, binary", lambda: encode_infer(response, ReplyOptions(binary=True)))
    _report("gRPC decode", lambda: grpc_codec.decode_infer(message, 0))
    _report("gRPC encode", lambda: b"".join(grpc_wire.encode_infer(response)))
