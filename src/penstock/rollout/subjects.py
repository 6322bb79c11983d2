"""What the control store calls the things of a model that the rollout floor keeps there."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.rollout.state import ModelRouting

_ROUTE = "route/"


def route_subject(model: str) -> str:
    """A model's route, with the rollout and the experiment that move it: a desired value."""
    return f"{_ROUTE}{model}"


def routed_model(subject: str) -> str | None:
    """The model whose route a subject is about; None: it is about none."""
    return subject.removeprefix(_ROUTE) if subject.startswith(_ROUTE) else None


def counts_subject(model: str) -> str:
    """What each process tells of a model: published by process."""
    return f"counts/{model}"


def told_subject(model: str) -> str:
    """How much of a rollout's history has been told: published under one name."""
    return f"told/{model}"


def lease_of(model: str) -> str:
    """The lease of whoever decides for a model."""
    return f"rollout/{model}"


def read_routing(value: Any) -> ModelRouting:
    """What the control store holds under ``route_subject``; None: as if there never was a route.

    Raises:
        msgspec.ValidationError: another version of this program has written it.
    """
    return ModelRouting() if value is None else msgspec.convert(value, ModelRouting)


def plain_routing(routing: ModelRouting) -> Any:
    """The value to write under ``route_subject``. ``read_routing`` gives the routing back."""
    return msgspec.to_builtins(routing, str_keys=True)
