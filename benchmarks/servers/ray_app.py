"""Peer: Ray Serve on a local cluster of its own, `@serve.batch` where there is batching."""

import os
import signal
import threading

import ray
import workload_model
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


class V2Json:
    """V2 JSON, one request at a time."""

    def __init__(self) -> None:
        self._model = workload_model.load()

    async def __call__(self, request: Request) -> dict:
        """Answer one request."""
        given = await request.json()
        return workload_model.v2_answer(self._model.predict(workload_model.batch_of([given])))


class Batches(V2Json):
    """V2 JSON, a batch at a time."""

    @serve.batch(max_batch_size=workload_model.MAX_BATCH, batch_wait_timeout_s=0.0)
    async def answer(self, requests: list[dict]) -> list[dict]:
        """Answer one batch of requests of one row each."""
        outputs = self._model.predict(workload_model.batch_of(requests))
        return workload_model.answers_of(outputs, len(requests))

    async def __call__(self, request: Request) -> dict:
        """Answer one request."""
        return await self.answer(await request.json())


class Raw(V2Json):
    """Bare bytes in and out, one request at a time."""

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        outputs = self._model.predict(workload_model.image_of(await request.body()))
        return Response(outputs["means"].tobytes(), media_type="application/octet-stream")


def main() -> None:
    """Serve until the process is asked to end."""
    ended = threading.Event()
    ray.init(
        include_dashboard=False,
        num_cpus=4,  # for Ray to count with, or two replicas and the rest find no place
        object_store_memory=256 * 1024 * 1024,
        _temp_dir=os.environ["BENCH_RAY_FOLDER"],
        log_to_driver=False,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["BENCH_HTTP_PORT"])})
    batching = workload_model.MAX_BATCH > 1
    kind = Raw if workload_model.RAW else Batches if batching else V2Json
    deployment = serve.deployment(
        kind,
        num_replicas=workload_model.PROCESSES,
        max_ongoing_requests=1000,
        logging_config={"enable_access_log": False},
    )
    serve.run(deployment.bind(), route_prefix=workload_model.PATH)
    ended.wait()
    ray.shutdown()


if __name__ == "__main__":
    main()
