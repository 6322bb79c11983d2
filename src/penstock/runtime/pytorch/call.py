"""One PyTorch module on its device: how it is called, in which precision, on how many threads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from penstock.core.errors import MalformedAnswer
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Tensor
from penstock.runtime.pytorch.tensors import TORCH_DTYPES, to_torch

_ENGINES_CHOICE = torch.get_num_threads()


class TorchCall:
    """Calls a module by its inputs' names, and names its answer."""

    def __init__(
        self,
        module: Callable[..., Any],
        device: torch.device,
        *,
        threads: int = 0,
        cast: torch.dtype | None = None,
        autocast: torch.dtype | None = None,
        channels_last: bool = False,
    ) -> None:
        """Wrap it.

        Args:
            module: computes on ``device``, takes one tensor for each input, by keyword.
            device: where the inputs go.
            threads: of one execution; 0: PyTorch's own choice when it was imported.
            cast: what inputs of floating point are converted to.
            autocast: what ``torch.autocast`` computes in.
            channels_last: whether inputs of four dimensions are laid out so.
        """
        self._module = module
        self._device = device
        self._threads = threads or _ENGINES_CHOICE
        self._cast = cast
        self._autocast = autocast
        self._channels_last = channels_last
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(
        self, inputs: Sequence[Tensor], outputs: Sequence[TensorSpec] | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Run it.

        PyTorch counts threads for each calling thread: models on threads of their own do not touch
        each other's number, and those that share a thread set it when it changes.

        Args:
            inputs: the tensors, named as ``forward`` names them.
            outputs: what is wanted; None: everything, under the names it has or that we give.

        Raises:
            MalformedAnswer: it answered with fewer or more tensors, or with no tensors.
        """
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode(), self._precision(), torch.cuda.stream(self._stream):
            answer = self._module(**{tensor.name: self._moved(tensor) for tensor in inputs})
            named = name_answer(answer, None if outputs is None else [s.name for s in outputs])
            if self._cast is not None or self._autocast is not None:
                named = _restored(named, outputs)
            return {name: value.detach().cpu() for name, value in named.items()}

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self._autocast is None:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[Any]
        context = torch.autocast(self._device.type, self._autocast)
        return context

    def _moved(self, tensor: Tensor) -> torch.Tensor:
        value = to_torch(tensor)
        dtype = self._cast if self._cast is not None and value.is_floating_point() else None
        is_image = self._channels_last and value.ndim == 4
        layout = torch.channels_last if is_image else torch.preserve_format
        return value.to(self._device, dtype, memory_format=layout)


def name_answer(answer: Any, names: Sequence[str] | None) -> dict[str, torch.Tensor]:
    """What a module answered, by name: a dict by its keys, other things by their order.

    Args:
        answer: a tensor, a dict, or a tuple or list of tensors.
        names: the declared outputs; None: all, those of a named tuple as it names them, others
            ``output`` or ``output_0``...

    Raises:
        MalformedAnswer: names are missing, there are more or fewer, or some are no tensors.
    """
    if isinstance(answer, Mapping):
        found = dict(answer)
    else:
        values = [answer] if isinstance(answer, torch.Tensor) else _sequence(answer)
        if names is not None and len(values) != len(names):
            raise MalformedAnswer(
                f"the model answered {len(values)} tensors, declared {list(names)}"
            )
        given = names or getattr(answer, "_fields", None) or _own_names(len(values))
        found = dict(zip(given, values, strict=True))
    wanted = list(found) if names is None else names
    if not set(wanted) <= set(found):
        raise MalformedAnswer(f"the model answered {sorted(found)}, declared {list(wanted)}")
    wrong = [name for name in wanted if not isinstance(found[name], torch.Tensor)]
    if wrong:
        kind = type(found[wrong[0]]).__name__
        raise MalformedAnswer(f"output '{wrong[0]}' is a {kind}, expected a tensor")
    return {name: found[name] for name in wanted}


def _sequence(answer: Any) -> Sequence[Any]:
    if isinstance(answer, tuple | list):
        return answer
    kind = type(answer).__name__
    raise MalformedAnswer(f"the model answered a {kind}, expected tensors, or a dict of them")


def _own_names(count: int) -> Sequence[str]:
    return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]


def _restored(
    named: dict[str, torch.Tensor], outputs: Sequence[TensorSpec] | None
) -> dict[str, torch.Tensor]:
    """Numbers of the lower precision as declared; FP32 where nothing is declared."""
    dtypes = {spec.name: TORCH_DTYPES[spec.dtype] for spec in outputs or ()}
    return {
        name: value.to(dtypes.get(name, torch.float32)) if value.is_floating_point() else value
        for name, value in named.items()
    }
