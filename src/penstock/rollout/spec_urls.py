"""The URLs that a plan names. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from penstock.rollout.outside.outbound import check_host, shown_url
from penstock.rollout.spec import Gate, PrometheusGate, RolloutSpec


def urls_of(spec: RolloutSpec) -> Iterator[tuple[str, str]]:
    """Every address that somebody else is asked at, each after its path in the plan."""
    if spec.webhook is not None:
        yield "$.webhook.url", spec.webhook.url
    lists = (("$", spec.gates), ("$.shadow", () if spec.shadow is None else spec.shadow.gates))
    for path, gates in lists:
        for place, gate in enumerate(gates):
            if isinstance(gate, PrometheusGate):
                yield f"{path}.gates[{place}].url", gate.url


def check_hosts(spec: RolloutSpec, hosts: tuple[str, ...]) -> None:
    """Refuse a plan by which the server would ask somebody that its settings keep it from.

    Args:
        spec: the plan, its URLs checked by ``feasibility.check``.
        hosts: see ``outbound.check_host``.

    Raises:
        InvalidArgument: the first such URL, by its path.
    """
    for path, url in urls_of(spec):
        check_host(url, hosts, f"rollout: {path}")


def without_secrets(spec: RolloutSpec) -> RolloutSpec:
    """A plan to show: of its URLs only the hosts."""
    webhook, shadow, changed = spec.webhook, spec.shadow, msgspec.structs.replace
    return changed(
        spec,
        webhook=None if webhook is None else changed(webhook, url=shown_url(webhook.url)),
        gates=_shown(spec.gates),
        shadow=None if shadow is None else changed(shadow, gates=_shown(shadow.gates)),
    )


def _shown(gates: tuple[Gate, ...]) -> tuple[Gate, ...]:
    return tuple(
        msgspec.structs.replace(gate, url=shown_url(gate.url))
        if isinstance(gate, PrometheusGate)
        else gate
        for gate in gates
    )
