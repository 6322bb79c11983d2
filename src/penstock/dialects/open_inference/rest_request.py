"""REST inference request: bytes to ``InferRequest``.

The usual request costs one typed parse of the body, in which ``data`` is skipped, and one typed
parse of each ``data``. Bare NaN and Infinity, which are no JSON, send the body through a lenient
parser; both ways end in the same checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from penstock.core.errors import InvalidArgument
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, Timeline
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.dialects.open_inference import json_data, json_text, parameters, raw_request
from penstock.dialects.open_inference.limits import DEFAULT_LIMITS, DecodeLimits
from penstock.dialects.open_inference.raw_data import from_raw
from penstock.dialects.open_inference.reply import PLAIN, DecodedInfer, ReplyOptions
from penstock.dialects.open_inference.tensor_checks import check_shape, check_unique, read_dtype

_NO_DATA = msgspec.Raw(b"")
_ONE_SOURCE = (
    "Input must set only one of the following fields: 'data', 'binary_data_size' in "
    "'parameters', 'shared_memory_region' in 'parameters'. But {} is set for input '{}'"
)

_Parameters = dict[str, str | bool | int | float]


class _Input(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    parameters: _Parameters | None = None
    data: msgspec.Raw = _NO_DATA


class _ParsedInput(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: _Parameters | None = None
    data: Any = _NO_DATA


class _Output(msgspec.Struct, gc=False):
    name: str
    parameters: _Parameters | None = None


class _Body(msgspec.Struct, gc=False):
    inputs: list[_Input]
    id: str = ""
    parameters: _Parameters | None = None
    outputs: list[_Output] | None = None


class _ParsedBody(msgspec.Struct):
    inputs: list[_ParsedInput]
    id: str = ""
    parameters: _Parameters | None = None
    outputs: list[_Output] | None = None


_ALL_BINARY = ReplyOptions(binary=True)
_DECODER = msgspec.json.Decoder(_Body)


class _Binary:
    """The raw buffers behind the JSON part, handed out in order."""

    __slots__ = ("_body", "_model", "_offset")

    def __init__(self, model: str, body: bytes | memoryview, offset: int) -> None:
        self._model = model
        self._body = memoryview(body)
        self._offset = offset

    def take(self, name: str, size: int) -> memoryview:
        """The next ``size`` bytes, which belong to the input ``name``; not copied."""
        end = self._offset + size
        missing = end - len(self._body)
        if missing > 0:
            raise InvalidArgument(
                f"unexpected size for input '{name}', expecting {missing} additional bytes "
                f"for model '{self._model}'"
            )
        view = self._body[self._offset : end]
        self._offset = end
        return view

    def check_empty(self) -> None:
        """Raise InvalidArgument where bytes are left that no input claims."""
        left = len(self._body) - self._offset
        if left:
            raise InvalidArgument(
                f"unexpected additional input data for model '{self._model}': {left} bytes "
                "follow the last input"
            )


def decode_infer(
    body: bytes | memoryview,
    *,
    model: str,
    choice: VersionChoice,
    header_length: int | None,
    signature_of: Callable[[], ModelSignature],
    now_ns: int,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> DecodedInfer:
    """Decode the body of ``POST /v2/models/{model}[/versions/{version}]/infer``.

    Law: ``decode(encode(x)) == x`` for every datatype, as JSON and in binary. The tensors are
    not checked against the model's signature here; that is ``ModelSignature.check``.

    Args:
        body: the whole body, decompressed. Tensors sent in binary are views of it.
        model: the model's name, from the path.
        choice: which version, from the path.
        header_length: value of ``Inference-Header-Content-Length``: bytes of the JSON part;
            0: the body is the raw tensor of a model with one input; None: no such header, the
            body is all JSON.
        signature_of: the signature of the version that would answer; asked for raw binary
            requests only. What it raises (NotFound, NotReady) passes through.
        now_ns: when the request arrived, on the monotonic clock.
        limits: bounds of the structure.

    Raises:
        InvalidArgument: the request is malformed; the text names the field.
        Unsupported: it asks for shared memory or a sequence.

    Concurrency: pure; any thread.
    Source: Open Inference Protocol, "Inference Request JSON Object"; Triton's extensions
    "Binary Tensor Data", "Parameters", "Schedule Policy".
    """
    if header_length == 0:
        tensor = raw_request.decode(body, model, signature_of(), limits)
        request = InferRequest(model, (tensor,), choice, timeline=Timeline(now_ns))
        return DecodedInfer(request, _ALL_BINARY)
    if header_length is None:
        document, binary = _parse(body, limits), None
    else:
        if not 0 < header_length <= len(body):
            raise InvalidArgument(
                f"inference header size should be in range (0, {len(body)}), got: {header_length}"
            )
        document = _parse(memoryview(body)[:header_length], limits)
        binary = _Binary(model, body, header_length)
    inputs = tuple([_tensor(model, item, binary, limits) for item in document.inputs])
    if binary is not None:
        binary.check_empty()
    if len(inputs) > 1:
        check_unique("input", [tensor.name for tensor in inputs])
    request = InferRequest(model, inputs, choice, document.id, timeline=Timeline(now_ns))
    if document.outputs or document.parameters:
        return DecodedInfer(request, _read_options(request, document, now_ns))
    return DecodedInfer(request, PLAIN)


def _read_options(
    request: InferRequest, document: _Body | _ParsedBody, now_ns: int
) -> ReplyOptions:
    """Complete the request by its parameters and wanted outputs; returns how to reply."""
    read = parameters.read_request(document.parameters or {}, now_ns)
    request.parameters = read.others
    request.deadline = read.deadline
    request.priority = read.priority
    if not document.outputs:
        return ReplyOptions(read.binary)
    names = tuple([item.name for item in document.outputs])
    check_unique("output", names)
    request.outputs = names
    return ReplyOptions(
        read.binary,
        {o.name: parameters.read_output(o.name, o.parameters or {}) for o in document.outputs},
    )


def _parse(text: bytes | memoryview, limits: DecodeLimits) -> _Body | _ParsedBody:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise json_text.nesting_error(limits.max_nesting) from None
    except UnicodeDecodeError:
        pass
    except msgspec.ValidationError as error:
        raise json_text.parse_error(error) from None
    except msgspec.DecodeError as error:
        if not json_text.has_bare_number(text):
            raise json_text.parse_error(error) from None
    try:
        return msgspec.convert(json_text.parse(text), _ParsedBody)
    except msgspec.ValidationError as error:
        raise json_text.parse_error(error) from None


def _tensor(
    model: str, item: _Input | _ParsedInput, binary: _Binary | None, limits: DecodeLimits
) -> Tensor:
    name = item.name
    dtype = read_dtype(name, item.datatype)
    shape = tuple(item.shape)
    count = check_shape(name, shape, limits)
    data = item.data
    if item.parameters:
        parameters.refuse_shared_memory("input", name, item.parameters)
        size = item.parameters.get("binary_data_size")
        if size is not None:
            if data is not _NO_DATA:
                raise InvalidArgument(_ONE_SOURCE.format("more than one", name))
            view = _take(model, name, size, binary)
            return from_raw(model, name, dtype, shape, view)
    if isinstance(data, msgspec.Raw):
        if data is _NO_DATA:
            if count:
                raise InvalidArgument(_ONE_SOURCE.format("no field", name))
            return Tensor(name, dtype, np.empty(shape, dtype.numpy))
        return Tensor(name, dtype, json_data.from_json(name, dtype, shape, data, limits))
    return Tensor(name, dtype, json_data.from_values(name, dtype, shape, data, limits))


def _take(model: str, name: str, size: object, binary: _Binary | None) -> memoryview:
    if type(size) is not int or size < 0:
        raise InvalidArgument(
            f"input '{name}': parameter 'binary_data_size' must be an integer >= 0, "
            f"got {json_text.show(size)}"
        )
    if binary is not None:
        return binary.take(name, size)
    return _Binary(model, b"", 0).take(name, size)
