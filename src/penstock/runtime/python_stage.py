"""Stage: one method of a user's model, as it is called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from penstock.core.messages import Parameter

STAGES = ("preprocess", "predict", "postprocess")
"""The methods a batch passes through, in order; a model needs ``predict`` only."""


class Stage:
    """A model's method, called with ``parameters`` where it asks for them.

    Attributes:
        name: what the class calls it.
        method: bound to the model.
    """

    def __init__(self, name: str, method: Callable[..., Any]) -> None:
        self.name = name
        self.method = method
        self._wants_parameters = "parameters" in inspect.signature(method).parameters
        self._is_async = inspect.iscoroutinefunction(method)

    def __call__(self, parameters: Mapping[str, Parameter], *args: Any, **kwargs: Any) -> Any:
        """Call it, to its end where it is ``async``."""
        if self._wants_parameters:
            kwargs["parameters"] = dict(parameters)
        answer = self.method(*args, **kwargs)
        return asyncio.run(answer) if self._is_async else answer
