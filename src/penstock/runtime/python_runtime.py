"""The ``python`` runtime: a ``penstock.Model`` class in a file."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, LoadFailed, MalformedAnswer, NotFound, may_pass
from penstock.core.messages import Parameter
from penstock.core.model import Model, ModelClient, ModelContext
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Array, Tensor, bytes_array, cast_values, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.python_signature import (
    Field,
    StageHints,
    declared_hints,
    read_inputs,
    read_outputs,
)

_FP32 = DType.FP32.numpy
_STAGES = ("preprocess", "predict", "postprocess")


class PythonRuntime:
    """Loads ``.py`` files that define a subclass of ``penstock.Model``."""

    platform = "python"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> PythonExecutable:
        """Import the file, make the model and call its ``load``; see ``Runtime.load``."""
        module = _import_file(artifact)
        try:
            model = _find_class(artifact, module)()
            stages = _stages(artifact, model)
            declared = artifact.manifest.signature
            inputs = declared_hints(declared.inputs) or read_inputs(stages[0])
            outputs = declared_hints(declared.outputs) or read_outputs(stages[-1])
            model.load(_context(artifact, client))
        except LoadFailed as err:
            _forget(module.__name__)
            text = f"{artifact.id}: {err.message}"
            raise LoadFailed(text, retryable=err.retryable, culprit=err.culprit) from err
        except Exception as err:
            _forget(module.__name__)
            raise _raised(artifact, "loading the model", err) from err
        return PythonExecutable(model, stages, inputs, outputs)


class PythonExecutable:
    """One instance of a user's model class."""

    def __init__(
        self,
        model: Model,
        stages: Sequence[Callable[..., Any]],
        inputs: StageHints,
        outputs: StageHints,
    ) -> None:
        self.signature = ModelSignature(
            tuple(field.spec for field in inputs.fields),
            tuple(field.spec for field in outputs.fields),
        )
        self.inline_safe = model.inline_safe
        self._model = model
        self._stages = tuple(_Stage(method) for method in stages)
        self._inputs = inputs
        self._nullable = frozenset(f.spec.name for f in inputs.fields if f.nullable)
        self._outputs = outputs

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Run the stages; see ``Executable.execute``.

        Raises:
            MalformedAnswer: a stage answered with a wrong number of items, an output is missing
                or its numbers are of another kind than declared.
            InvalidInput: a stage working on columns refused a row.
        """
        if self._inputs.style == "columns":
            arrays: dict[str, Array | None] = {t.name: _to_python(t) for t in inputs}
            for name in self._nullable.difference(arrays):
                arrays[name] = None
            answer = self._stages[0](parameters, **arrays)
            for stage in self._stages[1:]:
                answer = stage(parameters, answer)
            return ExecuteResult(self._columns_out(answer))
        return self._run_items(inputs, parameters)

    def close(self) -> None:
        """Let the model give back what it holds."""
        self._model.close()
        _forget(type(self._model).__module__)

    def _run_items(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        invalid: dict[int, InvalidInput] = {}
        values: list[Any] = list(self._items_in(inputs))
        rows = list(range(len(values)))
        values, rows = _keep_valid(values, rows, invalid)
        for stage in self._stages:
            if values:
                values, rows = _run_stage(stage, values, rows, parameters, invalid)
        return ExecuteResult(self._items_out(values), invalid)

    def _items_in(self, inputs: Sequence[Tensor]) -> Sequence[Any]:
        fields = {field.spec.name: field for field in self._inputs.fields}
        columns = {t.name: _column_in(fields[t.name], t) for t in inputs}
        make = self._inputs.item_type
        if make is None:
            return next(iter(columns.values()))
        for name in self._nullable.difference(columns):
            columns[name] = [None] * inputs[0].shape[0]
        names = list(columns)
        return [
            _make_item(index, make, dict(zip(names, row, strict=True)))
            for index, row in enumerate(zip(*columns.values(), strict=True))
        ]

    def _items_out(self, values: Sequence[Any]) -> tuple[Tensor, ...]:
        hints = self._outputs
        if hints.item_type is None:
            return (_column_out(hints.fields[0], list(values)),)
        read = _reader(hints.item_type)
        return tuple(
            _column_out(field, [read(value, field.spec.name) for value in values])
            for field in hints.fields
        )

    def _columns_out(self, answer: Any) -> tuple[Tensor, ...]:
        if not self._outputs.is_mapping:
            answer = {"output": answer}
        if any(f.spec.name not in answer for f in self._outputs.fields):
            declared = [f.spec.name for f in self._outputs.fields]
            raise MalformedAnswer(f"answered {sorted(answer)}, declared {declared}")
        return tuple(_tensor_out(f, answer[f.spec.name]) for f in self._outputs.fields)


class _Stage:
    """A model's method, called with ``parameters`` where it asks for them."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self._wants_parameters = "parameters" in inspect.signature(method).parameters
        self._is_async = inspect.iscoroutinefunction(method)
        self.name = method.__name__

    def __call__(self, parameters: Mapping[str, Parameter], *args: Any, **kwargs: Any) -> Any:
        if self._wants_parameters:
            kwargs["parameters"] = dict(parameters)
        answer = self._method(*args, **kwargs)
        return asyncio.run(answer) if self._is_async else answer


def _run_stage(
    stage: _Stage,
    values: list[Any],
    rows: list[int],
    parameters: Mapping[str, Parameter],
    invalid: dict[int, InvalidInput],
) -> tuple[list[Any], list[int]]:
    """Call a stage; when it raises InvalidInput, drop that item and call it with the others."""
    while values:
        try:
            answer = list(stage(parameters, values))
        except InvalidInput as err:
            if not 0 <= err.index < len(values):
                raise MalformedAnswer(
                    f"{stage.name} refused item {err.index} of a batch of {len(values)}"
                ) from err
            invalid[rows[err.index]] = err
            values = [v for i, v in enumerate(values) if i != err.index]
            rows = [r for i, r in enumerate(rows) if i != err.index]
            continue
        if len(answer) != len(values):
            raise MalformedAnswer(
                f"{stage.name} was given {len(values)} items and answered with {len(answer)}"
            )
        return _keep_valid(answer, rows, invalid)
    return [], []


def _keep_valid(
    values: list[Any], rows: list[int], invalid: dict[int, InvalidInput]
) -> tuple[list[Any], list[int]]:
    kept = [i for i, value in enumerate(values) if not isinstance(value, InvalidInput)]
    if len(kept) == len(values):
        return values, rows
    invalid.update(
        {rows[i]: value for i, value in enumerate(values) if isinstance(value, InvalidInput)}
    )
    return [values[i] for i in kept], [rows[i] for i in kept]


def _make_item(index: int, make: type, fields: dict[str, Any]) -> Any:
    for name, value in fields.items():
        if isinstance(value, InvalidInput):
            return InvalidInput(index, f"{name}: {value.reason}")
    try:
        return make(**fields)
    except (ValueError, TypeError) as err:
        return InvalidInput(index, f"{make.__name__}: {err}")


def _column_in(field: Field, tensor: Tensor) -> Sequence[Any]:
    if field.scalar is str:
        return [_as_text(index, item) for index, item in enumerate(tensor.array.tolist())]
    if field.scalar is not None:
        values: list[Any] = tensor.array.tolist()
        return values
    return list(_to_python(tensor))


def _as_text(index: int, item: bytes) -> str | InvalidInput:
    try:
        return item.decode()
    except UnicodeDecodeError:
        return InvalidInput(index, "expected UTF-8 text, got other bytes")


def _column_out(field: Field, values: list[Any]) -> Tensor:
    if field.spec.dtype is DType.BYTES:
        if field.scalar is not None:
            return Tensor(field.spec.name, DType.BYTES, bytes_array(object_array(values)))
    elif field.scalar is not None:
        return _tensor_out(field, values)
    elif not values:
        return _tensor_out(field, np.empty((0, *(max(dim, 0) for dim in field.spec.shape[1:]))))
    return _tensor_out(field, np.stack([np.asarray(value) for value in values]))


def _tensor_out(field: Field, value: Any) -> Tensor:
    spec = field.spec
    if spec.dtype is DType.BYTES:
        return Tensor(spec.name, spec.dtype, bytes_array(np.asarray(value, dtype=object)))
    is_bf16 = spec.dtype is DType.BF16
    array = cast_values(value, _FP32 if is_bf16 else spec.dtype.numpy)
    if array is None:
        came = np.asarray(value).dtype
        raise MalformedAnswer(
            f"output '{spec.name}' is {DType.from_numpy(came) or came}, declared {spec.dtype}"
        )
    return Tensor(spec.name, spec.dtype, _float_to_bf16(array) if is_bf16 else array)


def _to_python(tensor: Tensor) -> Array:
    """BF16 reaches a Python model as float32; everything else as it is."""
    if tensor.dtype is not DType.BF16:
        return tensor.array
    return (tensor.array.astype(np.uint32) << 16).view(np.float32)


def _float_to_bf16(array: Array) -> Array:
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet_nan = (bits >> 16) | 0x40
    return np.where(np.isnan(array), quiet_nan, rounded).astype(np.uint16)


def _reader(item_type: type) -> Callable[[Any, str], Any]:
    if hasattr(item_type, "__required_keys__"):
        return lambda value, name: value[name]
    return getattr


def _import_file(artifact: ArtifactRef) -> ModuleType:
    """Import the file under a name of its own; ``from . import x`` finds files beside it.

    Each copy gets its own module, so that closing one takes nothing from another.
    """
    name = f"penstock_models.{artifact.id.name}_{artifact.id.version}_{secrets.token_hex(8)}"
    name = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
    spec = importlib.util.spec_from_file_location(
        name, artifact.path, submodule_search_locations=[str(artifact.root)]
    )
    if spec is None or spec.loader is None:
        raise LoadFailed(f"{artifact.id}: {artifact.path.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as err:
        _forget(name)
        raise _raised(artifact, f"importing {artifact.path.name}", err) from err
    return module


def _raised(artifact: ArtifactRef, doing: str, error: Exception) -> LoadFailed:
    text = f"{artifact.id}: {doing} raised {type(error).__name__}: {error}"
    return LoadFailed(text, retryable=may_pass(error) or isinstance(error, NotFound), culprit=error)


def _forget(package: str) -> None:
    for name in [n for n in sys.modules if n == package or n.startswith(package + ".")]:
        sys.modules.pop(name, None)


def _find_class(artifact: ArtifactRef, module: ModuleType) -> type[Model]:
    classes = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Model)
        and value.__module__ == module.__name__
    }
    wanted = artifact.class_name
    if wanted is None and len(classes) == 1:
        return next(iter(classes.values()))
    if wanted is None or wanted not in classes:
        expected = f"a class '{wanted}'" if wanted else "one subclass of penstock.Model"
        raise LoadFailed(f"{artifact.path.name} should hold {expected}, has {sorted(classes)}")
    return classes[wanted]


def _stages(artifact: ArtifactRef, model: Model) -> list[Callable[..., Any]]:
    stages = [getattr(model, name) for name in _STAGES if callable(getattr(model, name, None))]
    if not callable(getattr(model, "predict", None)):
        raise LoadFailed(f"class '{type(model).__name__}' in {artifact.path.name} has no predict")
    return stages


def _context(artifact: ArtifactRef, client: ModelClient) -> ModelContext:
    return ModelContext(
        name=artifact.id.name,
        version=artifact.id.version,
        path=artifact.root,
        device=artifact.manifest.instances.device,
        options=artifact.manifest.runtime_options,
        client=client,
    )
