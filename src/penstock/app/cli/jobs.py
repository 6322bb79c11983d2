"""``penstock jobs``: the batch jobs of a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.app.cli.options import (
    DEFAULT_URL,
    JsonOption,
    PlainCommand,
    TimeoutOption,
    UrlOption,
    print_json,
    print_lines,
    say,
)

if TYPE_CHECKING:
    from penstock.app.cli.server_client import ServerClient

jobs_app = typer.Typer(
    help="List, show and cancel the batch jobs of a running server.", no_args_is_help=True
)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]

_TIMEOUT_S = 30.0


@jobs_app.command("list", cls=PlainCommand)
def list_jobs(
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """List every job that the server keeps, the youngest first."""
    client = _client(url, timeout_s)
    jobs = client.get("/v2/jobs")["jobs"]
    if as_json:
        print_json(jobs)
    elif not jobs:
        say(f"no jobs at {client.url}")
    else:
        from penstock.app.cli.job_tables import jobs_table

        print_lines(jobs_table(jobs))


@jobs_app.command("show", cls=PlainCommand)
def show_job(
    job_id: IdArgument,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Show where a job is, who asked for it, and why it has failed."""
    _tell(_client(url, timeout_s).get(_path(job_id)), as_json)


@jobs_app.command("cancel", cls=PlainCommand)
def cancel_job(
    job_id: IdArgument,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """End a job with the batch that it computes; one that waits at once."""
    from penstock.app.cli.control_client import actor
    from penstock.server.control_api.actor import ACTOR_HEADER

    client = _client(url, timeout_s)
    headers = {ACTOR_HEADER: actor()}
    _tell(client.request("POST", f"{_path(job_id)}/cancel", headers=headers).json(), as_json)


@jobs_app.command("result", cls=PlainCommand)
def job_result(
    job_id: IdArgument,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Show what a job that is done has done, and where its output is."""
    client = _client(url, timeout_s)
    found = client.get(f"{_path(job_id)}/result")
    if as_json:
        print_json(found)
    else:
        from penstock.app.cli.job_tables import result_lines

        print_lines(*result_lines(found, f"{client.url}{_path(job_id)}/result"))


def _client(url: str, timeout_s: float) -> ServerClient:
    from penstock.app.cli.server_client import ServerClient

    return ServerClient(url, timeout_s)


def _path(job_id: str) -> str:
    from urllib.parse import quote

    return f"/v2/jobs/{quote(job_id, safe='')}"


def _tell(job: Any, as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        from penstock.app.cli.job_tables import jobs_table

        print_lines(jobs_table([job]))
        if job["error"]:
            print(job["error"])
