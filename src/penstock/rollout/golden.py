"""Golden requests: asks the candidate what the answer is known of, and compares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from penstock.core.errors import PenstockError
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.servable import InferenceClient
from penstock.rollout.spec import GoldenRequest, RolloutSpec

ReadRequest: TypeAlias = "Callable[[bytes, str, VersionChoice], InferRequest]"
"""Reads the body of a V2 request for a version of a model; raises InvalidArgument."""

_MAX_SHOWN_CHARS = 60


async def ask_golden(
    client: InferenceClient, read: ReadRequest, spec: RolloutSpec
) -> tuple[str, bool]:
    """Ask the candidate every golden request.

    Args:
        client: reaches the models; a version that is named is asked, whatever the route says.
        read: of the dialect that the requests are written in.
        spec: the plan.

    Returns:
        what differs ("": nothing), and whether that is so for good: False where a request could
        not be answered for a reason that passes, and has to be asked again.
    """
    choice = VersionChoice(version=spec.candidate)
    for number, golden in enumerate(spec.golden, 1):
        try:
            request = read(msgspec.json.encode(golden.request), spec.model, choice)
            differs = differences(golden, await client.infer(request))
        except PenstockError as err:
            return f"golden request {number}: {err.message}", not err.retryable
        if differs:
            return f"golden request {number}: {differs}", True
    return "", True


def differences(golden: GoldenRequest, response: InferResponse) -> str:
    """The first difference between an answer and what is known of it; "": there is none. Pure."""
    got = {tensor.name: tensor for tensor in response.outputs}
    for name, expected in golden.outputs.items():
        if name not in got:
            there = ", ".join(sorted(got)) or "none"
            return f"there is no output '{name}', only {there}"
        tensor = got[name]
        actual = tensor.array.tolist()
        differs = _difference(_shaped(expected, tensor.shape), actual, golden.tolerance, ())
        if differs:
            return f"output '{name}'{differs}"
    return ""


def _shaped(expected: object, shape: Sequence[int]) -> object:
    """A flat list as nested ones: V2 answers may be written so."""
    is_flat = isinstance(expected, list) and not any(isinstance(one, list) for one in expected)
    if not is_flat or len(shape) < 2 or len(expected) != math.prod(shape):  # type: ignore[arg-type]
        return expected
    nested: list[Any] = expected  # type: ignore[assignment]
    for size in reversed(shape[1:]):
        nested = [nested[at : at + size] for at in range(0, len(nested), size)] if size else nested
    return nested


def _difference(expected: object, actual: object, tolerance: float, at: tuple[int, ...]) -> str:
    """Where the two differ first, in words; "": nowhere."""
    if isinstance(expected, list) != isinstance(actual, list):
        return _told(expected, actual, at)
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return f"{_place(at)}: {len(expected)} elements expected, got {len(actual)}"
        pairs = enumerate(zip(expected, actual, strict=True))
        found = (_difference(one, other, tolerance, (*at, i)) for i, (one, other) in pairs)
        return next(filter(None, found), "")
    return "" if _alike(expected, actual, tolerance) else _told(expected, actual, at)


def _alike(expected: object, actual: object, tolerance: float) -> bool:
    if isinstance(actual, bytes):
        return expected == actual.decode(errors="replace")
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, int | float) and isinstance(actual, int | float):
        return abs(expected - actual) <= tolerance
    return expected == actual


def _told(expected: object, actual: object, at: tuple[int, ...]) -> str:
    shown = actual.decode(errors="replace") if isinstance(actual, bytes) else actual
    return f"{_place(at)}: {_short(expected)} expected, got {_short(shown)}"


def _place(at: Sequence[int]) -> str:
    return f" at {list(at)}" if at else ""


def _short(value: Mapping[str, object] | object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}..."
