"""HttpApp: the one ASGI application. Inference takes the short way; the rest goes by a table."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.core.errors import (
    Cancelled,
    Internal,
    InvalidArgument,
    NotFound,
    NotReady,
    PenstockError,
    UnsupportedEncoding,
)
from penstock.core.ids import LATEST, RequestIds, VersionChoice
from penstock.core.messages import InferRequest
from penstock.dialects.open_inference.errors import error_body, http_status, retry_after
from penstock.dialects.open_inference.reply import DecodedInfer
from penstock.dialects.open_inference.rest_reply import EncodedReply, encode_infer
from penstock.dialects.open_inference.rest_request import decode_infer
from penstock.server.classified import classified
from penstock.server.client_watch import ClientWatch
from penstock.server.compression import REQUEST_ENCODINGS, choose_encoding, compress
from penstock.server.exchange import (
    Answer,
    Headers,
    Limits,
    Receive,
    Reply,
    Scope,
    Send,
    header_length,
    read_body,
    unpack,
)
from penstock.server.host_header import host_fault
from penstock.server.service import ModelService

if TYPE_CHECKING:
    from penstock.server.routes import Routes

_log = logging.getLogger("penstock.http")

_COMPRESS_FROM_BYTES = 512
_BAD_REQUEST = 400
_REQUEST_TIMEOUT = 408
_METHODS = {"HEAD": "GET"}
"""HEAD is answered as GET; the server leaves the body away."""
_OFF_LOOP_FROM_BYTES = 256 * 1024
_JOBS = "/v2/jobs"


class HttpApp:
    """Serves one ModelService over HTTP.

    Every answer carries ``X-Request-ID``: the client's own, or one made here.

    Args:
        service: what is served.
        make_routes: makes the table of everything but inference; asked when the first such
            request comes, because a server should not wait for it to start.
        limits: bounds of one request.

    Attributes:
        limits: the same.
    """

    def __init__(
        self, service: ModelService, make_routes: Callable[[], Routes], limits: Limits
    ) -> None:
        self._service = service
        self._make_routes = make_routes
        self._routes: Routes | None = None
        self.limits = limits
        self._ids = RequestIds()
        self._loop = asyncio.get_running_loop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            return
        started_ns = self._service.clock.monotonic_ns()
        headers: Headers = dict(scope["headers"])
        fault = host_fault(scope["headers"], scope["http_version"])
        if fault is not None:
            await _send(self.refuse(InvalidArgument(fault), _BAD_REQUEST), send)
            return
        if scope["query_string"] and scope["path"].startswith(_JOBS):
            await self._streamed(scope, receive, send, headers)
            return
        watch = ClientWatch(receive, self._loop, self.limits.body_timeout_s)
        try:
            body = await read_body(headers, receive, self.limits)
            watch.body_complete()
            method: str = scope["method"]
            method = _METHODS.get(method, method)
            client = _address(scope.get("client"))
            reply = await self._whole(method, scope["path"], headers, body, started_ns, client)
        except PenstockError as err:
            self._count(err)
            reply = None if isinstance(err, Cancelled) else self._plain(_error_answer(err), headers)
        except asyncio.CancelledError:
            why = watch.reason()
            if why is None:
                raise
            reply = None if isinstance(why, Cancelled) else self._plain(_too_slow(why), headers)
        finally:
            watch.close()
        if reply is not None:
            await _send(reply, send)

    def infer_whole(
        self, path: str, headers: Headers, body: bytes | memoryview, client: str
    ) -> Coroutine[Any, Any, Reply | None]:
        """Answer a POST whose body is all there; the short way of ``FastLane``.

        Args:
            path: the path.
            headers: its headers.
            body: its body.
            client: the address of the client; "" where it has none.

        Returns:
            the answer; None: it was cancelled, and nobody waits for one.
        """
        started_ns = self._service.clock.monotonic_ns()
        return self._whole("POST", path, headers, body, started_ns, client)

    def refuse(self, error: PenstockError, status: int) -> Reply:
        """Count a request that was no valid HTTP, and answer it; the connection ends."""
        self._count(error)
        return self._plain(Answer(status, error_body(error.message), close=True), {})

    def _count(self, error: PenstockError) -> None:
        """Count a request that reached no model."""
        self._service.edge.reject("http", error.code)

    async def _whole(
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes | memoryview,
        started_ns: int,
        client: str,
    ) -> Reply | None:
        """Answer a request that is all there; None: it was cancelled."""
        try:
            if b"content-encoding" in headers or len(body) > self.limits.max_body_bytes:
                body = await unpack(headers, bytes(body), self.limits)
            answer = await self._answer(method, path, headers, body, started_ns, client)
            if answer is not None and b"accept-encoding" in headers:
                answer = await self._pack(answer, headers)
            return None if answer is None else self._plain(answer, headers)
        except Exception as err:  # noqa: BLE001  # the edge of the dialect
            return self._failed(err, headers)

    def _failed(self, error: Exception, headers: Headers) -> Reply | None:
        """The answer to a request that reached no model; a bug of ours is a 500.

        Returns:
            None: the client is gone and nobody waits for one.
        """
        if not isinstance(error, PenstockError):
            return self._plain(self._internal(headers), headers)
        self._count(error)
        return None if isinstance(error, Cancelled) else self._plain(_error_answer(error), headers)

    def _answer(
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes | memoryview,
        started_ns: int,
        client: str,
    ) -> Coroutine[Any, Any, Answer | None]:
        """The answer; None: the client is gone and nobody waits for one.

        Raises:
            InvalidArgument: the version in the path is none.
            NotFound: there is no such path.
        """
        match path.split("/"):
            case ["", "v2", "models", model, "infer"] if method == "POST":
                return self._infer(model, LATEST, headers, body, started_ns, client)
            case ["", "v2", "models", model, "versions", version, "infer"] if method == "POST":
                choice = VersionChoice.parse(version)
                return self._infer(model, choice, headers, body, started_ns, client)
            case ["", *rest]:
                return self._control(method, rest, headers, bytes(body))
            case _:  # no slash: the "*" of OPTIONS
                raise NotFound("Not Found")

    async def _infer(
        self,
        model: str,
        choice: VersionChoice,
        headers: Headers,
        body: bytes | memoryview,
        started_ns: int,
        client: str,
    ) -> Answer | None:
        """One inference."""
        service = self._service
        request: InferRequest | None = None
        outcome = "ok"
        try:
            try:
                decoded = self._decode(body, headers, model, choice, started_ns)
            except NotReady:  # a raw body needs the signature of a model that is not there yet
                await service.warm(model, choice)
                decoded = self._decode(body, headers, model, choice, started_ns)
            request = decoded.request
            request.headers, request.client = headers, client
            request.timeline.decoded_ns = service.clock.monotonic_ns()
            if service.recorders:
                request.traceparent = headers.get(b"traceparent", b"").decode("latin-1")
            response = await service.infer(request)
            return _answer(
                encode_infer(classified(service, response, decoded.reply), decoded.reply)
            )
        except PenstockError as err:
            outcome = err.code
            service.reject("http", request, err)
            return None if isinstance(err, Cancelled) else _error_answer(err)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception:  # noqa: BLE001  # the edge of the dialect: a bug of ours is a 500
            outcome = "internal"
            return self._internal(headers)
        finally:
            if service.recorders and request is not None:
                service.record(request, outcome)

    def _decode(
        self,
        body: bytes | memoryview,
        headers: Headers,
        model: str,
        choice: VersionChoice,
        started_ns: int,
    ) -> DecodedInfer:
        return decode_infer(
            body,
            model=model,
            choice=choice,
            header_length=header_length(headers),
            signature_of=lambda: self._service.model(model, choice).signature,
            now_ns=started_ns,
        )

    async def _control(
        self, method: str, path: list[str], headers: Headers, body: bytes
    ) -> Answer | None:
        """Everything but inference."""
        if self._routes is None:
            self._routes = self._make_routes()
        return await self._routes.answer(method, path, body, headers)

    async def _streamed(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answer a request of jobs that has a query: what comes or goes may be of any size."""
        from penstock.server.jobs_api.streams import answer_with_query, send_download

        try:
            desk = self._service.job_desk()
            found = await answer_with_query(desk, scope, receive, headers, self.limits)
            reply = self._plain(found, headers) if isinstance(found, Answer) else None
        except Exception as err:  # noqa: BLE001  # the edge of the dialect
            found, reply = Answer(0), self._failed(err, headers)
        if reply is not None:
            await _send(reply, send)
        if isinstance(found, Answer):
            return
        watch = ClientWatch(receive, self._loop, self.limits.body_timeout_s)
        watch.body_complete()
        try:
            await send_download(found, [(b"x-request-id", self._request_id(headers))], send)
        except asyncio.CancelledError:
            if watch.reason() is None:
                raise
        finally:
            watch.close()

    def _request_id(self, headers: Headers) -> bytes:
        return headers.get(b"x-request-id") or self._ids.new().encode()

    def _internal(self, headers: Headers) -> Answer:
        request_id = headers.get(b"x-request-id", b"").decode("latin-1") or self._ids.new()
        _log.exception("internal error", extra={"request_id": request_id})
        return _error_answer(
            Internal(f"internal error; the server's log has more under request id {request_id}")
        )

    async def _pack(self, answer: Answer, headers: Headers) -> Answer:
        """An answer compressed, where the client takes that and it pays."""
        encoding = choose_encoding(headers[b"accept-encoding"].decode("latin-1"))
        if not encoding or len(answer.body) < _COMPRESS_FROM_BYTES:
            return answer
        packed = ((b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
        return msgspec.structs.replace(
            answer,
            body=await self._compress(answer.body, encoding),
            headers=(*answer.headers, *packed),
        )

    def _plain(self, answer: Answer, headers: Headers) -> Reply:
        """An answer as it goes out, its body as it is."""
        out = [
            (b"content-type", answer.content_type),
            (b"x-request-id", self._request_id(headers)),
            *answer.headers,
        ]
        if b"traceparent" in headers:
            out.append((b"traceparent", headers[b"traceparent"]))
        out.append((b"content-length", b"%d" % len(answer.body)))
        return Reply(answer.status, out, answer.body, answer.close or self._service.is_draining)

    async def _compress(self, body: bytes, encoding: str) -> bytes:
        if len(body) < _OFF_LOOP_FROM_BYTES:
            return compress(body, encoding)
        return await asyncio.to_thread(compress, body, encoding)


async def _send(reply: Reply, send: Send) -> None:
    """Give an answer to ASGI."""
    out = [*reply.headers, (b"connection", b"close")] if reply.close else reply.headers
    await send({"type": "http.response.start", "status": reply.status, "headers": out})
    await send({"type": "http.response.body", "body": reply.body})


def _address(client: Any) -> str:
    """The address in ASGI's (address, port); "" where there is none."""
    return client[0] if client else ""


def _answer(reply: EncodedReply) -> Answer:
    if reply.header_length is None:
        return Answer(200, reply.body())
    length = (b"inference-header-content-length", b"%d" % reply.header_length)
    return Answer(200, reply.body(), b"application/octet-stream", (length,))


def _error_answer(error: PenstockError) -> Answer:
    seconds = retry_after(error)
    headers = () if seconds is None else ((b"retry-after", seconds.encode()),)
    if isinstance(error, UnsupportedEncoding):  # RFC 9110, section 15.5.16
        headers = ((b"accept-encoding", ", ".join(REQUEST_ENCODINGS).encode()),)
    return Answer(http_status(error), error_body(error.message), headers=headers)


def _too_slow(error: PenstockError) -> Answer:
    """What a client is told whose body did not come in time; the rest of it is not waited for."""
    return Answer(_REQUEST_TIMEOUT, error_body(error.message), close=True)
