"""What a route that is set by hand has to keep to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from penstock.core.errors import InvalidArgument
from penstock.router.route import Route, check_route


def check_new_route(model: str, route: Route, known: Collection[int]) -> None:
    """Refuse a route that could not be followed.

    Args:
        model: the model's name.
        route: as it came.
        known: the versions that the repository holds of the model.

    Raises:
        InvalidArgument: the first thing that is wrong.
    """
    for name in ("stage", "experiment"):
        if getattr(route, name):
            raise InvalidArgument(
                f"route.{name}: is given by the server; leave it out, or start a rollout or an "
                "experiment"
            )
    check_route(route)
    for place, version in _versions(route):
        check_version(model, version, known, f"route.{place}")


def check_version(model: str, version: int, known: Collection[int], place: str) -> None:
    """Refuse a version that the repository does not hold.

    Raises:
        InvalidArgument: says where it stands and which there are.
    """
    if version not in known:
        there = ", ".join(map(str, sorted(known))) or "none"
        raise InvalidArgument(
            f"{place}: version {version} of '{model}' is not in the repository; there: {there}"
        )


def _versions(route: Route) -> Iterator[tuple[str, int]]:
    for index, variant in enumerate(route.variants):
        yield f"variants[{index}].version", variant.version
    for label, version in route.labels.items():
        yield f"labels.{label}", version
    if route.shadow is not None:
        yield "shadow.version", route.shadow.version
    for index, version in enumerate(route.keep):
        yield f"keep[{index}]", version
