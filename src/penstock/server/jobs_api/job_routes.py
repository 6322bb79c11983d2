"""The jobs API over HTTP: paths and bodies to operations, and back."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from penstock.core.errors import FailedPrecondition, InvalidArgument, NotFound, TooLarge
from penstock.dialects.open_inference.errors import error_body
from penstock.server.control_api.actor import actor_of
from penstock.server.control_api.bodies import read_object
from penstock.server.exchange import Answer, json_answer
from penstock.server.jobs_api.answers import JobList, Submitted
from penstock.server.jobs_api.desk import JobDesk

KEY_HEADER = "Idempotency-Key"

_ACCEPTED = 202
_CONFLICT = 409
_MAX_JOB_BYTES = 256 * 1024


async def answer_jobs(
    desk: JobDesk,
    method: str,
    path: list[str],
    body: bytes,
    headers: Mapping[bytes, bytes],
) -> Answer:
    """Answer one request without a query.

    Args:
        desk: the operations.
        method: the HTTP method, one that the path takes.
        path: the segments below ``/v2/jobs``.
        body: the request's body.
        headers: the request's, names in lower case.

    Raises:
        PenstockError: the caller turns it into an error answer; what cannot be done now is
            answered here, by 409: to try it again as it is would be of no use.
    """
    who = actor_of(headers)
    try:
        match path:
            case [] if method == "POST":
                check_json(headers, body)
                return submitted(await desk.submit(read_object(body, "job"), key_of(headers), who))
            case []:
                return json_answer(JobList(await desk.list()))
            case [job_id] if method == "DELETE":
                await desk.delete(job_id, who)
                return json_answer({"id": job_id})
            case [job_id]:
                return json_answer(await desk.show(job_id))
            case [job_id, "cancel"]:
                return json_answer(await desk.cancel(job_id, who))
            case [job_id, "result"]:
                return json_answer(await desk.result(job_id))
            case _:
                raise NotFound("Not Found")
    except FailedPrecondition as error:
        return conflict(error)


def submitted(found: Submitted) -> Answer:
    """202 with the job's place for a new one; 200 for one that is there."""
    place = f"/v2/jobs/{quote(found.job.id, safe='')}"
    answer = json_answer(found.job, _ACCEPTED if found.is_new else 200)
    return Answer(answer.status, answer.body, headers=((b"location", place.encode()),))


def conflict(error: FailedPrecondition) -> Answer:
    """409: not in this state."""
    return Answer(_CONFLICT, error_body(error.message))


def key_of(headers: Mapping[bytes, bytes]) -> str:
    """The id that a client gives its job in a header; "": none."""
    return headers.get(KEY_HEADER.lower().encode(), b"").decode("latin-1").strip()


def check_json(headers: Mapping[bytes, bytes], body: bytes) -> None:
    """Refuse a file where a job's fields are expected.

    Raises:
        InvalidArgument: the body says that it is one.
        TooLarge: no job has so many fields, and the queue shall not keep them.
    """
    if len(body) > _MAX_JOB_BYTES:
        raise TooLarge(f"a job's fields may take {_MAX_JOB_BYTES} bytes, got {len(body)}")
    told = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if told not in (b"application/json", b"application/x-www-form-urlencoded", b""):
        raise InvalidArgument(  # curl sends a form's type unless it is told otherwise
            f"a job is a JSON object, got {told.decode('latin-1')[:64]}; a file is uploaded to "
            "/v2/jobs?model=NAME&format=FORMAT"
        )
