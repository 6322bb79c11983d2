"""``penstock jobs``: the batch jobs of a running server."""

from __future__ import annotations

from typing import Annotated, Any

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
from penstock.app.cli.server_client import ServerClient, path_of
from penstock.core.errors import InvalidArgument

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
    client = ServerClient(url, timeout_s)
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
    _tell(ServerClient(url, timeout_s).get(_path(job_id)), as_json)


@jobs_app.command("cancel", cls=PlainCommand)
def cancel_job(
    job_id: IdArgument,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """End a job after its present batch; one that waits, at once."""
    from penstock.app.cli.control_client import actor_headers

    client = ServerClient(url, timeout_s)
    _tell(client.post(_path(job_id, "cancel"), headers=actor_headers()), as_json)


@jobs_app.command("result", cls=PlainCommand)
def job_result(
    job_id: IdArgument,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = _TIMEOUT_S,
) -> None:
    """Show what a job that is done has done, and where its output is."""
    client, path = ServerClient(url, timeout_s), _path(job_id, "result")
    found = client.get(path)
    if as_json:
        print_json(found)
    else:
        from penstock.app.cli.job_tables import result_lines

        print_lines(*result_lines(found, f"{client.url}{path}"))


def _path(job_id: str, *more: str) -> str:
    """Of a job, or of what it has.

    Raises:
        InvalidArgument: it is no id, and the path would be that of something else.
    """
    if not job_id or "/" in job_id:
        raise InvalidArgument(f"ID: expected a job's id, which has no '/', got '{job_id}'")
    return path_of("jobs", job_id, *more)


def _tell(job: Any, as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        from penstock.app.cli.job_tables import jobs_table

        print_lines(jobs_table([job]))
        if job["error"]:
            print(job["error"])
