"""ModelSignature: what a model takes and gives, and the check of a request against it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.tensor import Tensor


class TensorSpec(msgspec.Struct, frozen=True):
    """The declared form of one input or output.

    Attributes:
        name: the tensor's name.
        dtype: its datatype.
        shape: its full shape, batch dimension first where the model batches; -1: any size.
        dim_names: a name per dimension where the artifact has one ("" elsewhere): dimensions of
            one name have one size, which is how padding finds its way out again.
        optional: whether a request may leave it out.
        labels: class names of the last dimension, for the classification extension.
        description: one line for people.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    dim_names: tuple[str, ...] = ()
    optional: bool = False
    labels: tuple[str, ...] = ()
    description: str = ""

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape fits: same rank, and each dimension equal or free."""
        wanted = self.shape
        if len(shape) != len(wanted):
            return False
        if shape[1:] == wanted[1:]:  # the common case: only the batch dimension is free
            return not wanted or wanted[0] in (-1, shape[0])
        return all(want in (-1, got) for want, got in zip(self.shape, shape, strict=True))


class ModelSignature(msgspec.Struct, frozen=True):
    """The inputs and outputs of a model.

    Attributes:
        inputs: declared inputs, names unique.
        outputs: declared outputs, names unique.
        batched: whether the first dimension of every tensor counts rows that may be merged
            with other requests' rows.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool = True

    def input(self, name: str) -> TensorSpec | None:
        """The declared input of this name, or None."""
        return next((spec for spec in self.inputs if spec.name == name), None)

    def output(self, name: str) -> TensorSpec | None:
        """The declared output of this name, or None."""
        return next((spec for spec in self.outputs if spec.name == name), None)

    def check(
        self, model: str, inputs: tuple[Tensor, ...], outputs: Iterable[str] | None = None
    ) -> int:
        """Check a request's tensors and wanted outputs against the signature.

        Args:
            model: the model's name, for messages.
            inputs: the request's tensors.
            outputs: the names of the outputs wanted; None: all.

        Returns:
            the number of rows the request brings; 1 where the model does not batch.

        Raises:
            InvalidArgument: a name, datatype, shape or row count does not fit; names the tensor,
                what was expected and what came.

        Source: texts after Triton's, which clients and their tests look for.
        """
        specs = {spec.name: spec for spec in self.inputs}
        rows = -1
        for tensor in inputs:
            spec = specs.get(tensor.name)
            if spec is None:
                raise self._unexpected_input(model, tensor.name)
            _check_tensor(model, spec, tensor, batched=self.batched)
            if self.batched:
                if rows not in (-1, tensor.shape[0]):
                    raise InvalidArgument(
                        f"input '{tensor.name}' batch size does not match other inputs for "
                        f"'{model}': expected {rows}, got {tensor.shape[0]}"
                    )
                rows = tensor.shape[0]
        if len(inputs) != len(self.inputs) or len({t.name for t in inputs}) != len(inputs):
            self._check_names(model, [tensor.name for tensor in inputs])
        if outputs is not None:
            self._check_outputs(model, list(outputs))
        return rows if rows >= 0 else 1

    def _check_names(self, model: str, names: list[str]) -> None:
        given = set(names)
        if len(given) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidArgument(f"input '{twice}' already exists in request")
        missing = [s.name for s in self.inputs if not s.optional and s.name not in given]
        if missing:
            raise InvalidArgument(
                f"expected {len(self.inputs)} inputs but got {len(names)} inputs for model "
                f"'{model}'. Got input(s) {names}, but missing required input(s) {missing}. "
                "Please provide all required input(s)."
            )
        if not names:
            raise InvalidArgument(
                f"expected at least one of the inputs {[s.name for s in self.inputs]} "
                f"for model '{model}', got none"
            )

    def _check_outputs(self, model: str, names: list[str]) -> None:
        for name in names:
            if self.output(name) is None:
                raise InvalidArgument(
                    f"unexpected inference output '{name}' for model '{model}'. "
                    f"Its outputs are {[spec.name for spec in self.outputs]}"
                )
            if names.count(name) > 1:
                raise InvalidArgument(f"output '{name}' already exists in request")

    def _unexpected_input(self, model: str, name: str) -> InvalidArgument:
        return InvalidArgument(
            f"unexpected inference input '{name}' for model '{model}'. "
            f"Its inputs are {[spec.name for spec in self.inputs]}"
        )


def _check_tensor(model: str, spec: TensorSpec, tensor: Tensor, *, batched: bool) -> None:
    if tensor.dtype is not spec.dtype:
        raise InvalidArgument(
            f"inference input '{spec.name}' data-type is '{tensor.dtype}', "
            f"but model '{model}' expects '{spec.dtype}'"
        )
    if not spec.accepts(tensor.array.shape):
        one_row = (1, *tensor.shape)
        is_row = batched and spec.accepts(one_row)
        hint = f"; the first dimension is the batch: send {_dims(one_row)}" if is_row else ""
        raise InvalidArgument(
            f"unexpected shape for input '{spec.name}' for model '{model}'. "
            f"Expected {_dims(spec.shape)}, got {_dims(tensor.shape)}{hint}"
        )


def _dims(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"
