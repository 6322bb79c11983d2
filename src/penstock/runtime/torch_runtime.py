"""The ``torch`` runtime: TorchScript, exported programs, and state dicts with their class."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import torch

from penstock.core.errors import LoadFailed, PenstockError, may_pass
from penstock.core.messages import Parameter
from penstock.core.model import ModelClient
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.declared import spec_of
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.first_line import first_line
from penstock.runtime.python_file import forget
from penstock.runtime.pytorch.call import TorchCall
from penstock.runtime.pytorch.device import find_device
from penstock.runtime.pytorch.file_kind import TorchFile, look
from penstock.runtime.pytorch.program import TorchProgram
from penstock.runtime.pytorch.script import load_script, terse
from penstock.runtime.pytorch.signature import (
    ForwardNames,
    declared_inputs,
    is_batched,
    names_of_class,
    names_of_script,
    tried_outputs,
    zeros,
)
from penstock.runtime.pytorch.tensors import from_torch
from penstock.runtime.pytorch.user_class import load_class
from penstock.runtime.pytorch.weights import pickle_refusal
from penstock.runtime.read_options import read_options, wrong_option

_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_COMPILED_SIZES = (1, 2, 3)


class TorchOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``runtime_options`` of a PyTorch model.

    Attributes:
        weights: of a class: the file of its state dict, relative to the version's folder.
        arguments: of a class: the keyword arguments it is made with.
        precision: what it computes in; inputs and outputs stay as the signature says.
        autocast: whether a lower precision is left to ``torch.autocast``, which keeps what needs
            FP32 in FP32; false: the weights are converted.
        channels_last: whether images are laid out with their channels last.
        compile: whether ``torch.compile`` compiles it, when it is loaded.
        compile_options: keyword arguments of ``torch.compile``.
        fallback_to_cpu: whether it computes on the CPU where the device is not there.
    """

    weights: str | None = None
    arguments: dict[str, Any] = {}
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    autocast: bool = False
    channels_last: bool = False
    compile: bool = False
    compile_options: dict[str, Any] = {}
    fallback_to_cpu: bool = False


class TorchRuntime:
    """Loads ``.pt``, ``.pth``, ``.torchscript`` and ``.pt2`` files, and ``.py`` with weights."""

    platform = "pytorch"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> TorchExecutable:
        """Load onto the device, compile where that is asked for; see ``Runtime.load``."""
        del client  # a module calls nobody
        options = read_options(artifact, TorchOptions)
        device = find_device(artifact, fallback_to_cpu=options.fallback_to_cpu)
        try:
            return _load(artifact, options, device)
        except PenstockError:
            raise
        except Exception as err:  # of the device, the compiler, or a user's class
            raise LoadFailed(
                f"{artifact.id}: making it ready on {device} raised "
                f"{type(err).__name__}: {first_line(err)}",
                retryable=may_pass(err) or isinstance(err, torch.OutOfMemoryError),
            ) from err


class TorchExecutable:
    """One module on one device."""

    def __init__(
        self, call: TorchCall, signature: ModelSignature, *, inline_safe: bool, home: str = ""
    ) -> None:
        """Wrap it.

        Args:
            call: the module.
            signature: what it takes and gives.
            inline_safe: whether it is free of a user's code and of waiting for a device.
            home: the module its class was imported as; "": it has none.
        """
        self.signature = signature
        self.inline_safe = inline_safe
        self._call = call
        self._home = home

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Run the module in inference mode; see ``Executable.execute``."""
        del parameters  # a module has none
        answer = self._call(inputs, self.signature.outputs)
        return ExecuteResult(tuple(from_torch(name, value) for name, value in answer.items()))

    def close(self) -> None:
        """Drop the module and its memory, the device's too."""
        del self._call
        if self._home:
            forget(self._home)
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def _load(artifact: ArtifactRef, options: TorchOptions, device: torch.device) -> TorchExecutable:
    if artifact.path.suffix == ".py":
        return _load_class(artifact, options, device)
    kind = look(artifact.id, artifact.path)
    if kind is TorchFile.SCRIPT:
        return _load_script(artifact, options, device)
    if kind is TorchFile.PROGRAM:
        return _load_program(artifact, options, device)
    if kind is TorchFile.NATIVE:
        raise LoadFailed(
            f"{artifact.id}: {artifact.path.name} is {kind.value}, which is not served: save "
            "the program itself, torch.export.save(program, 'model.pt2')"
        )
    raise pickle_refusal(artifact, artifact.path)


def _load_script(
    artifact: ArtifactRef, options: TorchOptions, device: torch.device
) -> TorchExecutable:
    if options.compile:
        raise wrong_option(artifact, "compile", "does not go with TorchScript")
    module = _placed(load_script(artifact, device), options, device)
    call = _call(artifact, options, device, terse(module))
    signature = _signature(artifact, call, module, names_of_script(module))
    return TorchExecutable(call, signature, inline_safe=device.type == "cpu")


def _load_class(
    artifact: ArtifactRef, options: TorchOptions, device: torch.device
) -> TorchExecutable:
    module = load_class(artifact, options.weights, options.arguments).eval()
    home = type(module).__module__
    with contextlib.ExitStack() as undo:
        undo.callback(forget, home)
        names = names_of_class(module)
        module = _placed(module, options, device)
        call = _call(artifact, options, device, _compiled(options, module))
        signature = _signature(artifact, call, module, names)
        _warm_compiled(options, call, signature)
        undo.pop_all()
    return TorchExecutable(call, signature, inline_safe=False, home=home)


def _load_program(
    artifact: ArtifactRef, options: TorchOptions, device: torch.device
) -> TorchExecutable:
    if options.precision != "fp32" and not options.autocast:
        raise wrong_option(
            artifact,
            "precision",
            f"'precision: {options.precision}' needs 'autocast: true' here: an exported program "
            "has the datatypes of its weights written into it",
        )
    program = TorchProgram(artifact)
    module = _compiled(options, _placed(program.module(device), options, device))
    call = _call(artifact, options, device, program.by_name(module))
    _warm_compiled(options, call, program.signature)
    return TorchExecutable(call, program.signature, inline_safe=device.type == "cpu")


def _placed(module: Any, options: TorchOptions, device: torch.device) -> Any:
    """The module on its device, in its precision and layout."""
    dtype = None if options.autocast else _HALVES.get(options.precision)
    module = module.to(device, dtype)
    return module.to(memory_format=torch.channels_last) if options.channels_last else module


def _call(
    artifact: ArtifactRef, options: TorchOptions, device: torch.device, module: Any
) -> TorchCall:
    half = _HALVES.get(options.precision)
    return TorchCall(
        module,
        device,
        threads=artifact.manifest.instances.threads_per_instance,
        cast=None if options.autocast else half,
        autocast=half if options.autocast else None,
        channels_last=options.channels_last,
    )


def _compiled(options: TorchOptions, module: Any) -> Any:
    return torch.compile(module, **options.compile_options) if options.compile else module


def _warm_compiled(options: TorchOptions, call: TorchCall, signature: ModelSignature) -> None:
    """Compile now for one row, for two and for any number, not under the first requests."""
    for size in _COMPILED_SIZES if options.compile else ():
        call(zeros(signature.inputs, size), signature.outputs)


def _signature(
    artifact: ArtifactRef, call: TorchCall, module: Any, names: ForwardNames
) -> ModelSignature:
    first_weight = next((tuple(p.shape) for p in module.parameters() if p.ndim > 1), ())
    inputs = declared_inputs(artifact, names, first_weight)
    declared = tuple(spec_of(field) for field in artifact.manifest.signature.outputs)
    signature = ModelSignature(inputs, declared or tried_outputs(artifact, inputs, call))
    return msgspec.structs.replace(signature, batched=is_batched(signature))
