"""The weights in an HTTPRoute of the Kubernetes Gateway API: read and replaced. Pure.

Source: gateway.networking.k8s.io/v1, HTTPRoute: ``spec.rules[].backendRefs[].weight`` (0 to
1,000,000, 1 where it is not given) and ``status.parents[].conditions``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.core.errors import ConfigError
from penstock.rollout.drivers.driver import Splitter, Weights

_WHOLE = 100_000
"""Weights are written as parts of this, so that a thousandth of a percent can be said."""

_NECESSARY = ("Accepted", "ResolvedRefs")


class Backends(msgspec.Struct, frozen=True):
    """The two Services that a route shares requests out to.

    Attributes:
        stable, candidate: their names.
    """

    stable: str
    candidate: str


def read_splitter(route: Any, backends: Backends) -> Splitter:
    """What an HTTPRoute says.

    Args:
        route: the object, as JSON values.
        backends: which of its backends are meant.

    Raises:
        ConfigError: no rule, or one that is not understood, shares requests out to the two; or
            two rules share them out differently.
    """
    found = {_weights(stable, candidate) for stable, candidate in _pairs(route, backends)}
    if len(found) > 1:
        weights = Weights(float("nan"), float("nan"))  # like no others: they are set anew
        return Splitter(weights, in_force=False, fault=_fault(route))
    (weights,) = found
    return Splitter(weights, _is_in_force(route), _fault(route))


def with_weights(route: Any, backends: Backends, weights: Weights) -> list[Any] | None:
    """The route's rules with other weights, and else as they are.

    Returns:
        the rules; None: they share requests out so already.

    Raises:
        ConfigError: see ``read_splitter``.
    """
    changed = copy.deepcopy(route)
    candidate = round(weights.candidate / 100 * _WHOLE)
    for stable_ref, candidate_ref in _pairs(changed, backends):
        stable_ref["weight"], candidate_ref["weight"] = _WHOLE - candidate, candidate
    rules: list[Any] = changed["spec"]["rules"]
    return None if rules == route["spec"]["rules"] else rules


def _pairs(route: Any, backends: Backends) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The two backends in each rule that has both.

    Raises:
        ConfigError: see ``read_splitter``.
    """
    names: set[str] = set()
    is_any = False
    for index, rule in enumerate(_rules(route)):
        refs = {ref["name"]: ref for ref in rule.get("backendRefs", []) if _is_service(ref)}
        names |= refs.keys()
        if backends.stable not in refs or backends.candidate not in refs:
            continue
        if len(rule["backendRefs"]) > 2:
            raise ConfigError(
                f"HTTPRoute {_name(route)}: rule {index} has further backends, "
                f"{', '.join(sorted(refs))}: expected {backends.stable} and {backends.candidate}"
            )
        is_any = True
        yield refs[backends.stable], refs[backends.candidate]
    if not is_any:
        raise ConfigError(
            f"HTTPRoute {_name(route)}: expected a rule with the backendRefs {backends.stable} and "
            f"{backends.candidate}, found {', '.join(sorted(names)) or 'none'}"
        )


def _rules(route: Any) -> list[Any]:
    try:
        rules = route["spec"]["rules"]
    except (KeyError, TypeError):
        rules = None
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise ConfigError("what the Kubernetes API answers is no HTTPRoute with rules")
    return rules


def _is_service(ref: Any) -> bool:
    return (ref.get("kind", "Service"), ref.get("group", "")) == ("Service", "")


def _weights(stable: dict[str, Any], candidate: dict[str, Any]) -> Weights:
    one, other = stable.get("weight", 1), candidate.get("weight", 1)
    if not one + other:
        return Weights(0.0, 0.0)
    return Weights(100 * one / (one + other), 100 * other / (one + other))


def _conditions(route: Any) -> Iterator[dict[str, Any]]:
    for parent in route.get("status", {}).get("parents", []):
        yield from (one for one in parent.get("conditions", []) if one["type"] in _NECESSARY)


def _is_in_force(route: Any) -> bool:
    """Whether every gateway has taken in the object as it is now."""
    generation = route["metadata"].get("generation", 0)
    seen = [one.get("observedGeneration", 0) for one in _conditions(route)]
    return bool(seen) and min(seen) >= generation


def _fault(route: Any) -> str:
    for one in _conditions(route):
        if one["status"] == "False":
            told = one.get("message") or one.get("reason", "")
            return f"HTTPRoute {_name(route)} is not {one['type']}: {told}"
    return ""


def _name(route: Any) -> str:
    metadata = route.get("metadata", {})
    return f"{metadata.get('namespace', 'default')}/{metadata.get('name', '?')}"
