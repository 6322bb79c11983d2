"""``penstock rollout``: from one version to the next, on evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.app.cli.options import (
    DEFAULT_URL,
    JsonOption,
    ModelArgument,
    PlainCommand,
    TimeoutOption,
    UrlOption,
    WhyOption,
    print_json,
    print_lines,
    say,
)
from penstock.app.cli.rollout_run import PlanArgument, run_rollout

if TYPE_CHECKING:
    from penstock.app.cli.control_client import ControlClient
    from penstock.rollout.spec import RolloutSpec
    from penstock.server.control_api.answers import RolloutAnswer

rollout_app = typer.Typer(
    help="Replace a version by the next one step by step, on evidence.", no_args_is_help=True
)

rollout_app.command("run", cls=PlainCommand)(run_rollout)

_TIMEOUT_S = 30.0


@rollout_app.command("plan", cls=PlainCommand)
def plan_rollout(
    file: PlanArgument,
    rps: Annotated[
        float | None,
        typer.Option("--rps", min=0, help="Requests per second the model gets."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a plan, and say about how many requests it takes; no server is asked."""
    spec = _read(file, rps)
    _show_needs(spec, rps, as_json=as_json)


@rollout_app.command("start", cls=PlainCommand)
def start_rollout(
    file: PlanArgument,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow it until it ends, as 'watch' does.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Begin a rollout of the plan in a file."""
    spec = _read(file, None)
    client = _client(url, timeout_s)
    answer = client.start(spec)
    if watch:
        for note in () if as_json else answer.notes:
            say(f"note: {note}")
        _watch(client, spec.model, as_json=as_json)
        return
    _show(answer, as_json=as_json)
    if not as_json:
        say(f"follow it with 'penstock rollout watch {spec.model}'")


@rollout_app.command("status", cls=PlainCommand)
def rollout_status(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="The model's name; without: every model.")
    ] = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Show where a rollout stands: what each gate says with which numbers, what it waits for."""
    client = _client(url, timeout_s)
    if model:
        _show(client.status(model), as_json=as_json)
    else:
        _list(client, as_json=as_json)


@rollout_app.command("watch", cls=PlainCommand)
def watch_rollout(
    model: ModelArgument,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Follow a rollout until it ends; exit status 0 if it is done, 1 if it was rolled back.

    With --json, how it ended is printed then.
    """
    _watch(_client(url, timeout_s), model, as_json=as_json)


@rollout_app.command("pause", cls=PlainCommand)
def pause_rollout(
    model: ModelArgument,
    why: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Keep a rollout where it is; what fails still rolls back."""
    _show(_client(url, timeout_s).pause(model, why), as_json=as_json)


@rollout_app.command("resume", cls=PlainCommand)
def resume_rollout(
    model: ModelArgument,
    why: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Let a paused rollout go on; the times of its stage begin anew."""
    _show(_client(url, timeout_s).resume(model, why), as_json=as_json)


@rollout_app.command("promote", cls=PlainCommand)
def promote_rollout(
    model: ModelArgument,
    full: Annotated[
        bool, typer.Option("--full", help="All requests at once: straight to the bake.")
    ] = False,
    why: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Go on to the next stage without waiting for evidence; what fails still rolls back."""
    _show(_client(url, timeout_s).promote(model, why, full=full), as_json=as_json)


@rollout_app.command("abort", cls=PlainCommand)
def abort_rollout(
    model: ModelArgument,
    why: WhyOption = "",
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Roll back now: the version before gets all requests again."""
    _show(_client(url, timeout_s).abort(model, why), as_json=as_json)


@rollout_app.command("history", cls=PlainCommand)
def rollout_history(
    model: ModelArgument,
    gates: Annotated[
        bool, typer.Option("--gates", help="With what each gate said at each change.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Show every change of a model's route and rollouts: when, who, why."""
    entries = _client(url, timeout_s).history(model)
    if as_json:
        print_json(entries)
    elif not entries:
        say(f"the requests of {model} were never routed")
    else:
        from penstock.app.cli.rollout_view import history_lines
        from penstock.rollout.state import Transition

        lines = [Transition(e.at_ms, e.what, e.who, e.why, e.gates) for e in entries]
        print_lines(*history_lines(lines, with_gates=gates))


def _client(url: str, timeout_s: float) -> ControlClient:
    from penstock.app.cli.control_client import ControlClient

    return ControlClient(url, timeout_s)


def _read(file: str, rps: float | None) -> RolloutSpec:
    """A plan that can decide.

    Raises:
        ConfigError: it cannot be read, or never decides.
    """
    from penstock.app.cli.plan_file import read_plan
    from penstock.rollout.feasibility import check

    spec = read_plan(file)
    check(spec, rps, file)
    return spec


def _show_needs(spec: RolloutSpec, rps: float | None, *, as_json: bool) -> None:
    from penstock.rollout.need import samples_needed

    needs = samples_needed(spec)
    if as_json:
        print_json(needs)
        return
    from penstock.app.cli.rollout_view import needs_table

    print_lines(needs_table(needs, rps))


def _list(client: ControlClient, *, as_json: bool) -> None:
    answers = client.rollouts()
    if as_json:
        print_json(answers)
    elif not answers:
        say(f"no rollouts at {client.url}")
    else:
        from penstock.app.cli.rollout_view import list_table

        print_lines(list_table(answers))


def _show(answer: RolloutAnswer, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        print_lines(*_page(answer))


def _page(answer: RolloutAnswer) -> list[Any]:
    import time

    from penstock.app.cli.options import console
    from penstock.app.cli.rollout_view import status_page

    is_ascii = console().options.ascii_only
    return status_page(answer, int(time.time() * 1000), is_ascii=is_ascii)


def _watch(client: ControlClient, model: str, *, as_json: bool) -> None:
    from penstock.app.cli.rollout_watch import watch
    from penstock.rollout.state import Phase

    end = watch(lambda: client.status(model), quiet=as_json)
    if as_json:
        print_json(end)
    elif end.phase is Phase.DONE:
        say(f"done: {end.explanation}")
    if end.phase is not Phase.DONE:
        if not as_json:
            say(f"penstock: {end.explanation}")
        raise typer.Exit(1)
