"""FaultyExecutable: a copy of a model that breaks on a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.core.messages import Parameter
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.runtime.executable import ExecuteResult
from penstock.testing.fake_loader import ECHO_SIGNATURE


class FaultyExecutable:
    """An ``Executable`` that answers with its inputs, but for what its script says.

    Args:
        script: one entry per execution, in order: an error to raise, a result to answer with,
            or None to work; after the last entry every execution works.
        signature: what it declares; it is not checked.
        inline_safe: whether the event loop may run it.

    Attributes:
        num_executions: how often it was executed, failures included.
        is_closed: whether it was closed.
    """

    def __init__(
        self,
        script: Sequence[BaseException | ExecuteResult | None] = (),
        *,
        signature: ModelSignature = ECHO_SIGNATURE,
        inline_safe: bool = False,
    ) -> None:
        self.num_executions = 0
        self.is_closed = False
        self._script = list(script)
        self._signature = signature
        self._inline_safe = inline_safe

    @property
    def signature(self) -> ModelSignature:
        """What it declares."""
        return self._signature

    @property
    def inline_safe(self) -> bool:
        """What the test said."""
        return self._inline_safe

    def execute(
        self, inputs: Sequence[Tensor], parameters: Mapping[str, Parameter]
    ) -> ExecuteResult:
        """Do what the script says next."""
        del parameters
        self.num_executions += 1
        step = self._script.pop(0) if self._script else None
        if isinstance(step, BaseException):
            raise step
        return ExecuteResult(tuple(inputs)) if step is None else step

    def close(self) -> None:
        """Keep in mind that it was called."""
        self.is_closed = True
