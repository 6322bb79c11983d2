"""A Kubernetes API server with one HTTPRoute, which answers as a real one writes it.

The answers are files of ``kubernetes/``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.unit.rollout.outside_server import Asked, OutsideServer, Said, outside_server

ANSWERS = Path(__file__).parent / "kubernetes"
PATH = "/apis/gateway.networking.k8s.io/v1/namespaces/models/httproutes/digits"
_TYPES = {"content-type": "application/json"}


def answer_file(name: str) -> Any:
    """An answer of a Kubernetes API server."""
    return json.loads((ANSWERS / f"{name}.json").read_text())


class KubernetesApi:
    """Keeps the route, with its revision; what an update does not name stays.

    Attributes:
        route: the object.
        server: the web server.
        refusal: what every request is answered with; None: nothing is refused.
        before_patch: done before a patch is looked at, such as somebody else's change.
        is_slow: whether no gateway ever takes in what was changed.
    """

    def __init__(self, server: OutsideServer) -> None:
        self.route = answer_file("route")
        self.server = server
        self.refusal: tuple[int, Any] | None = None
        self.before_patch: Callable[[], None] = lambda: None
        self.is_slow = False
        server.answer = self._answer

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def weights(self) -> list[int]:
        """Of the first rule's backends."""
        return [ref["weight"] for ref in self.route["spec"]["rules"][0]["backendRefs"]]

    def methods(self) -> list[str]:
        return [asked.method for asked in self.server.asked]

    def change(self, **spec: Any) -> None:
        """Somebody changes the object."""
        self.route = copy.deepcopy(self.route)
        self.route["spec"].update(spec)
        metadata = self.route["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        metadata["generation"] += 1
        if not self.is_slow:
            for condition in self.route["status"]["parents"][0]["conditions"]:
                condition["observedGeneration"] = metadata["generation"]

    def _answer(self, asked: Asked) -> Said:
        if self.refusal is not None:
            status, body = self.refusal
            return Said(status, json.dumps(body).encode(), _TYPES)
        if asked.path != PATH:
            return Said(404, json.dumps(answer_file("not_found")).encode(), _TYPES)
        if asked.method == "PATCH":
            return self._patch(asked)
        return Said(200, json.dumps(self.route).encode(), _TYPES)

    def _patch(self, asked: Asked) -> Said:
        if asked.headers["content-type"] != "application/merge-patch+json":
            return Said(415, b"{}")
        self.before_patch()
        patch = json.loads(asked.body)
        if patch["metadata"]["resourceVersion"] != self.route["metadata"]["resourceVersion"]:
            return Said(409, json.dumps(answer_file("conflict")).encode(), _TYPES)
        self.change(**patch["spec"])
        return Said(200, json.dumps(self.route).encode(), _TYPES)


@contextmanager
def kubernetes_api() -> Iterator[KubernetesApi]:
    with outside_server() as server:
        yield KubernetesApi(server)
