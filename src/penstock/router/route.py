"""Route: which version answers which request of one model. Values only; ``split`` chooses."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from penstock.core.errors import InvalidArgument
from penstock.router.compare import check_comparison

_WHOLE = 100.0
_TOLERANCE = 1e-6
_LAST_LATIN_1 = 0xFF
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
_Version = Annotated[int, Meta(ge=0)]
_Percent = Annotated[float, Meta(ge=0, le=100)]
_Ratio = Annotated[float, Meta(ge=0, le=1)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An immutable value that refuses fields it does not know."""


class Variant(_Strict, frozen=True):
    """One of the versions that share the requests.

    Attributes:
        name: what it is called in answers, metrics and logs, such as ``stable``.
        version: which version it is.
        weight: its share, in percent of the requests that no rule takes.
    """

    name: _Name
    version: _Version
    weight: _Percent = 0.0


class Rule(_Strict, frozen=True, kw_only=True):
    """Requests that go to one variant, whatever the shares are.

    Attributes:
        header: the HTTP header or gRPC metadata key that is looked at, in lower case.
        parameter: the request parameter that is looked at; exactly one of the two is set.
        equals: what it has to be; numbers and booleans as JSON writes them.
        variant: who answers then.
    """

    header: str = ""
    parameter: str = ""
    equals: str
    variant: _Name


class RoutingKey(_Strict, frozen=True):
    """What a request is assigned by, so that the same caller meets the same variant.

    At most one is set; none: each request is assigned by itself.

    Attributes:
        header: an HTTP header or gRPC metadata key, in lower case.
        parameter: a request parameter.
        input: an input of one row and one element.
        client: the address of the client.
    """

    header: str = ""
    parameter: str = ""
    input: str = ""
    client: bool = False


class Shadow(_Strict, frozen=True):
    """A copy of the requests for a version whose answers nobody gets.

    Attributes:
        version: who gets the copies.
        sample: the part of the requests that is copied, 0 to 1.
        output: the output that is compared; "": the first one that both have.
        compare: how: see ``compare.COMPARISONS``, or ``module:function`` of the user's own.
        tolerance: the largest difference of numbers that is still agreement.
        max_bytes: what copies that wait may hold in each process; beyond it they are shed.
        timeout_s: a copy is worth nothing after this, in seconds.
    """

    version: _Version
    sample: _Ratio = 1.0
    output: str = ""
    compare: str = "auto"
    tolerance: Annotated[float, Meta(ge=0)] = 1e-3
    max_bytes: Annotated[int, Meta(ge=1)] = 16 * 1024**2
    timeout_s: Annotated[float, Meta(gt=0)] = 10.0


class Route(_Strict, frozen=True):
    """Who answers the requests of one model that name no version.

    A version that a request names always wins. A label that a request names is looked up in
    ``labels``, then in model.yaml.

    Attributes:
        variants: who shares the requests, the weights summing to 100; the first one is the
            reference that others are compared with.
        rules: looked at in order, before the shares.
        key: what a request is assigned by.
        salt: two routes of one salt assign alike; one of another salt independently.
        labels: versions by label.
        shadow: who else gets a copy.
        keep: further versions that stay loaded.
        stage: counting begins anew where this changes.
        experiment: the experiment that these shares belong to; "": none.
    """

    variants: tuple[Variant, ...]
    rules: tuple[Rule, ...] = ()
    key: RoutingKey = RoutingKey()
    salt: str = ""
    labels: dict[_Name, _Version] = {}
    shadow: Shadow | None = None
    keep: tuple[_Version, ...] = ()
    stage: str = ""
    experiment: str = ""

    @property
    def versions(self) -> frozenset[int]:
        """Every version that has to be loaded for this route."""
        named = {*self.keep, *self.labels.values(), *(one.version for one in self.variants)}
        return frozenset(named if self.shadow is None else {*named, self.shadow.version})


def check_route(route: Route) -> None:
    """Check the parts of a route against each other.

    Raises:
        InvalidArgument: names the field, what was expected, what came and what to do.
    """
    _check_variants(route.variants)
    names = [one.name for one in route.variants]
    for at, rule in enumerate(route.rules):
        _check_rule(f"rules[{at}]", rule, names)
    _check_key(route.key)
    if route.shadow is not None:
        check_comparison(route.shadow.compare)
    for label in route.labels:
        if label.isdecimal():
            raise InvalidArgument(
                f"labels: expected names, got the number '{label}': it would be read as a "
                "version; call the label something else"
            )


def _check_variants(variants: Sequence[Variant]) -> None:
    if not variants:
        raise InvalidArgument("variants: expected at least one, got none; name who answers")
    names = [one.name for one in variants]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidArgument(
            f"variants: expected each name once, got '{twice}' {names.count(twice)} times; "
            "rename one of them"
        )
    wrong = next((one for one in variants if not 0 <= one.weight <= _WHOLE), None)
    if wrong is not None:
        raise InvalidArgument(
            f"variants: '{wrong.name}': weight: expected 0 to 100 percent, got {wrong.weight:g}"
        )
    total = math.fsum(one.weight for one in variants)
    if abs(total - _WHOLE) > _TOLERANCE:
        given = ", ".join(f"{one.name} {one.weight:.10g}" for one in variants)
        raise InvalidArgument(
            f"variants: expected weights that sum to 100 percent, got {total:.10g} ({given}); "
            "change a weight"
        )


def _check_rule(field: str, rule: Rule, names: Sequence[str]) -> None:
    if bool(rule.header) == bool(rule.parameter):
        raise InvalidArgument(
            f"{field}: expected exactly one of 'header' and 'parameter', got "
            f"{'both' if rule.header else 'neither'}; say what the rule looks at"
        )
    if rule.variant not in names:
        raise InvalidArgument(
            f"{field}.variant: expected one of {', '.join(names)}, got '{rule.variant}'"
        )
    if rule.header:
        _check_header(f"{field}.header", rule.header)
        if not all(ord(char) <= _LAST_LATIN_1 for char in rule.equals):
            raise InvalidArgument(
                f"{field}.equals: a header holds Latin-1 text, got '{rule.equals}'; "
                "look at a parameter instead"
            )


def _check_key(key: RoutingKey) -> None:
    given = [
        name
        for name, is_set in (
            ("header", key.header),
            ("parameter", key.parameter),
            ("input", key.input),
            ("client", key.client),
        )
        if is_set
    ]
    if len(given) > 1:
        raise InvalidArgument(
            f"key: expected at most one of header, parameter, input and client, got "
            f"{' and '.join(given)}; leave one"
        )
    if key.header:
        _check_header("key.header", key.header)


def _check_header(field: str, name: str) -> None:
    if _HEADER.fullmatch(name) is None:
        raise InvalidArgument(
            f"{field}: expected the name of a header in lower case, such as 'x-user-id', "
            f"got '{name}'"
        )
