"""What ``penstock route`` shows."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from penstock.app.cli.model_tables import plain_table
from penstock.rollout.sentences import percent
from penstock.router.route import Route, RoutingKey, Rule
from penstock.server.control_api.answers import RouteAnswer, VariantAnswer


def route_page(answer: RouteAnswer) -> list[Any]:
    """Who answers the requests of one model, in order."""
    route = answer.route
    if route is None:
        newest = f"version {max(answer.ready)}" if answer.ready else "none is ready"
        lines: list[Any] = [Text(f"{answer.model}: the newest version answers ({newest})")]
    else:
        lines = [Text(answer.model, "bold"), _table(answer, route), *_further(route)]
    if answer.rollout:
        text = f"a rollout moves this route ({answer.rollout}): "
        lines.append(f"{text}'penstock rollout status {answer.model}'")
    if answer.experiment and not answer.rollout:
        lines.append(f"the experiment {answer.experiment} shares the requests out")
    return [*lines, *(Text(f"note: {note}") for note in answer.notes)]


def _table(answer: RouteAnswer, route: Route) -> Any:
    table = plain_table("variant", "version", "share", "ready", "requests", "failed", "p99 ms")
    for column in (table.columns[2], *table.columns[4:]):
        column.justify = "right"
    counted = {} if answer.seen is None else answer.seen.variants
    for one in route.variants:
        seen = counted.get(one.name, VariantAnswer())
        table.add_row(
            Text(one.name),
            str(one.version),
            f"{one.weight:g} %",
            "yes" if one.version in answer.ready else "no",
            f"{seen.requests:,}" if one.name in counted else "-",
            f"{seen.errors:,}" if one.name in counted else "-",
            "-" if seen.p99_ms is None else f"{seen.p99_ms:.3g}",
        )
    return table


def _further(route: Route) -> list[Text]:
    lines = [Text(f"rule: {_rule(rule)}") for rule in route.rules]
    if route.key != RoutingKey():
        lines.append(Text(f"assigned by {_key(route.key)}"))
    lines += [Text(f"label: {label} is version {to}") for label, to in route.labels.items()]
    if route.shadow is not None:
        copied = percent(route.shadow.sample)
        lines.append(Text(f"shadow: version {route.shadow.version} gets a copy of {copied}"))
    if route.keep:
        lines.append(Text(f"kept loaded: {', '.join(map(str, route.keep))}"))
    return lines


def _rule(rule: Rule) -> str:
    what = f"header {rule.header}" if rule.header else f"parameter {rule.parameter}"
    return f"{what} = {rule.equals} goes to {rule.variant}"


def _key(key: RoutingKey) -> str:
    if key.client:
        return "the client's address"
    kinds = {"header": key.header, "parameter": key.parameter, "input": key.input}
    return next(f"the {kind} {name}" for kind, name in kinds.items() if name)
