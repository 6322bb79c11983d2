"""``penstock rollout run``: a rollout that moves somebody else's traffic splitter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.app.cli.options import JsonOption, print_json, say

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from penstock.rollout.drivers.drive import DriveOptions
    from penstock.rollout.drivers.driver import TrafficDriver
    from penstock.rollout.spec import RolloutSpec
    from penstock.rollout.state import RolloutState

PlanArgument = Annotated[str, typer.Argument(metavar="FILE", help="The plan: a rollout.yaml.")]

_DRIVERS = ("gateway-api",)


def run_rollout(
    file: PlanArgument,
    driver: Annotated[str, typer.Option("--driver", help="What is moved: gateway-api.")],
    route: Annotated[str, typer.Option("--route", help="The HTTPRoute's name.")],
    stable: Annotated[str, typer.Option("--stable", help="The Service of the reference.")],
    candidate: Annotated[str, typer.Option("--candidate", help="The Service of the candidate.")],
    prometheus: Annotated[str, typer.Option("--prometheus", help="URL of the Prometheus server.")],
    requests: Annotated[
        str,
        typer.Option(
            "--requests",
            metavar="PROMQL",
            help="The candidate's requests in this stage; {elapsed} is its age in seconds.",
        ),
    ],
    namespace: Annotated[str, typer.Option("--namespace", help="The HTTPRoute's.")] = "default",
    state: Annotated[
        str, typer.Option("--state", metavar="FILE", help="Where the rollout is kept.")
    ] = "rollout.db",
    url: Annotated[
        str, typer.Option("--url", help="The Kubernetes API [the one of this pod].")
    ] = "",
    token_file: Annotated[
        str, typer.Option("--token-file", metavar="FILE", help="What is sent as bearer token.")
    ] = "",
    ca_file: Annotated[
        str, typer.Option("--ca-file", metavar="FILE", help="Who signed the API's certificate.")
    ] = "",
    abort: Annotated[
        str, typer.Option("--abort", metavar="WHY", help="Roll back what is under way instead.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Roll out by the weights of a traffic splitter, on what Prometheus says.

    Ended by Ctrl-C, it leaves the traffic as it is; run again, it goes on. Exit status 0 if the
    rollout is done, 1 if it was rolled back or failed, 130 if it was interrupted.
    """
    from penstock.rollout.drivers.drive import DriveOptions
    from penstock.rollout.outside.http_call import check_url
    from penstock.rollout.outside.prometheus import fill_in
    from penstock.telemetry.logs import configure

    configure("json" if as_json else "human", "info")
    spec = _plan(file)
    check_url(prometheus, "--prometheus")
    options = DriveOptions(prometheus, fill_in(requests, spec), spec.interval_s)
    moved = _driver(driver, (url, token_file, ca_file), (namespace, route, stable, candidate))
    end = _run(spec, moved, options, state, abort)
    _tell(end, as_json=as_json)


def _plan(file: str) -> RolloutSpec:
    """A plan that can be run without a server of ours.

    Raises:
        ConfigError: it cannot be read, or it cannot.
    """
    from penstock.app.cli.plan_file import read_plan
    from penstock.rollout.drivers.standalone import check_standalone

    spec = read_plan(file)
    check_standalone(spec, file)
    return spec


def _driver(
    kind: str, access: tuple[str, str, str], names: tuple[str, str, str, str]
) -> TrafficDriver:
    """The driver of a splitter.

    Args:
        kind: its name.
        access: URL, token file and authority's file; "": what a pod has.
        names: namespace, route, stable and candidate Service.

    Raises:
        ConfigError: there is no such driver, or no way to the API.
    """
    from penstock.core.errors import ConfigError
    from penstock.rollout.drivers.gateway_api import GatewayApiDriver, KubernetesAccess, in_cluster
    from penstock.rollout.drivers.gateway_api_route import Backends

    if kind not in _DRIVERS:
        raise ConfigError(f"--driver: expected {' or '.join(_DRIVERS)}, got {kind}")
    url, token_file, ca_file = access
    if url:
        reached = KubernetesAccess(
            url,
            Path(token_file) if token_file else None,
            Path(ca_file) if ca_file else None,
        )
    else:
        reached = in_cluster()
    namespace, route, stable, candidate = names
    return GatewayApiDriver(reached, namespace, route, Backends(stable, candidate))


def _run(
    spec: RolloutSpec, driver: TrafficDriver, options: DriveOptions, state: str, why: str
) -> RolloutState:
    import asyncio
    import os

    from penstock.rollout.drivers import standalone
    from penstock.stores.sqlite_control_store import SqliteControlStore

    async def main() -> RolloutState:
        store = SqliteControlStore(Path(state), is_new=True)
        parts = standalone.Parts(driver, store, options, os.environ.get("USER") or "command line")
        work = standalone.abort(spec, parts, why) if why else standalone.run(spec, parts)
        try:
            return await _until_stopped(work)
        finally:
            await store.close()

    return asyncio.run(main())


async def _until_stopped(work: Coroutine[Any, Any, RolloutState]) -> RolloutState:
    """What comes of work, unless SIGTERM or SIGINT ends it before.

    Raises:
        KeyboardInterrupt: it was ended.
    """
    import asyncio

    from penstock.app.stop_signals import stop_event

    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop_event().wait())
    try:
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            say("the traffic stays as it is: run it again to go on")
            raise KeyboardInterrupt
        return task.result()
    finally:
        for one in (task, stopped):
            one.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


def _tell(end: RolloutState, *, as_json: bool) -> None:
    """Say how it ended.

    Raises:
        typer.Exit: it was not done.
    """
    from penstock.rollout.state import Phase

    if as_json:
        print_json(end)
    else:
        say(f"{end.phase}: {end.history[-1].why}")
    if end.phase is not Phase.DONE:
        raise typer.Exit(1)
