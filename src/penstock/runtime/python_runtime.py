"""The ``python`` runtime: a ``penstock.Model`` class in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

from penstock.core.errors import LoadFailed
from penstock.core.messages import Parameter
from penstock.core.model import Model, ModelClient, ModelContext
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.python_batch import ColumnsBatch, ItemsBatch
from penstock.runtime.python_file import forget, import_file, raised
from penstock.runtime.python_signature import (
    StageHints,
    declared_hints,
    read_inputs,
    read_outputs,
)
from penstock.runtime.python_stage import STAGES, Stage


class PythonRuntime:
    """Loads ``.py`` files that define a subclass of ``penstock.Model``."""

    platform = "python"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> PythonExecutable:
        """Import the file, make the model and call its ``load``; see ``Runtime.load``."""
        module = import_file(artifact)
        try:
            model = _find_class(artifact, module)()
            stages = _stages(artifact, model)
            declared = artifact.manifest.signature
            inputs = declared_hints(declared.inputs) or read_inputs(stages[0].method)
            outputs = declared_hints(declared.outputs) or read_outputs(stages[-1].method)
            model.load(_context(artifact, client))
        except LoadFailed as err:
            forget(module.__name__)
            text = f"{artifact.id}: {err.message}"
            raise LoadFailed(text, retryable=err.retryable, culprit=err.culprit) from err
        except Exception as err:
            forget(module.__name__)
            raise raised(artifact, "loading the model", err) from err
        return PythonExecutable(model, stages, inputs, outputs)


class PythonExecutable:
    """One instance of a user's model class.

    Attributes:
        stages: the methods a batch passes through, in order.
    """

    def __init__(
        self,
        model: Model,
        stages: Sequence[Stage],
        inputs: StageHints,
        outputs: StageHints,
    ) -> None:
        self.signature = ModelSignature(
            tuple(field.spec for field in inputs.fields),
            tuple(field.spec for field in outputs.fields),
        )
        self.inline_safe = model.inline_safe
        self.memory_bytes = model.memory_bytes
        self._model = model
        self.stages = tuple(stages)
        self._hints = (inputs, outputs)
        self._batch = ColumnsBatch if inputs.style == "columns" else ItemsBatch

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Run the stages; see ``Executable.execute``.

        Raises:
            MalformedAnswer: a stage answered with a wrong number of items, an output is missing
                or its numbers are of another kind than declared.
            InvalidInput: a stage working on columns refused a row.
        """
        batch = self.begin(inputs, parameters)
        for stage in self.stages:
            batch.run(stage)
        return batch.end()

    def begin(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ColumnsBatch | ItemsBatch:
        """A batch before its first stage, to ``run`` through each of ``stages`` and ``end``.

        Concurrency: a batch is one thread's at a time; batches may be under way side by side.
        """
        return self._batch(self._hints, inputs, parameters)

    def close(self) -> None:
        """Let the model give back what it holds."""
        self._model.close()
        forget(type(self._model).__module__)


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


def _stages(artifact: ArtifactRef, model: Model) -> list[Stage]:
    found = {name: getattr(model, name, None) for name in STAGES}
    stages = {name: Stage(name, method) for name, method in found.items() if callable(method)}
    where = f"class '{type(model).__name__}' in {artifact.path.name}"
    if "predict" not in stages:
        raise LoadFailed(f"{where} has no predict")
    for name in artifact.manifest.stages.counts:
        if name not in stages:
            raise LoadFailed(
                f"model.yaml: stages.{name}: {where} has no such method; it has {', '.join(stages)}"
            )
    return list(stages.values())


def _context(artifact: ArtifactRef, client: ModelClient) -> ModelContext:
    return ModelContext(
        name=artifact.id.name,
        version=artifact.id.version,
        path=artifact.root,
        device=artifact.manifest.instances.device,
        options=artifact.manifest.runtime_options,
        client=client,
    )
