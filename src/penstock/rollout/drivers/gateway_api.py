"""GatewayApiDriver: moves the weights of a Kubernetes Gateway API HTTPRoute."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from penstock.core.errors import ConfigError, DeadlineExceeded, NotReady, PenstockError
from penstock.rollout.drivers.driver import Splitter, Weights
from penstock.rollout.drivers.gateway_api_route import Backends, read_splitter, with_weights
from penstock.rollout.outside.http_call import HttpAnswer, HttpCall, call, check_url

_ATTEMPTS = 5
_CONFLICT = 409
_MAX_TOLD_CHARS = 300
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_MERGE_PATCH = "application/merge-patch+json"


class KubernetesAccess(msgspec.Struct, frozen=True):
    """Where the Kubernetes API is, and who asks.

    Attributes:
        url: of the API server.
        token_file: its content is sent as a bearer token, read anew for each call, since it is
            replaced while it is in use; None: none is sent, as behind ``kubectl proxy``.
        ca_file: the authority that signed the server's certificate; None: one that the machine
            trusts.
        timeout_s: the longest wait for one answer, in seconds.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    timeout_s: float = 10.0


def in_cluster(
    environ: Mapping[str, str] = os.environ, account: Path = _ACCOUNT
) -> KubernetesAccess:
    """The access that a pod has.

    Args:
        environ: the environment.
        account: the folder with the pod's token.

    Raises:
        ConfigError: this is no pod, or it has no service account.
    """
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT")
    token, authority = account / "token", account / "ca.crt"
    if not host or not token.exists():
        raise ConfigError(
            "this is no pod with a service account: say where the Kubernetes API is with --url, "
            "such as http://127.0.0.1:8001 behind 'kubectl proxy'"
        )
    shown = f"[{host}]" if ":" in host else host
    return KubernetesAccess(
        f"https://{shown}:{port or 443}", token, authority if authority.exists() else None
    )


class GatewayApiDriver:
    """A ``TrafficDriver`` for one HTTPRoute.

    The route is read, and written with the ``resourceVersion`` that was read: what somebody else
    has changed in between is a conflict (409), and it is read again. Weights are set in every rule
    that has both backends; nothing else of the object is touched.

    Needs ``get`` and ``patch`` on ``httproutes`` of ``gateway.networking.k8s.io``.

    Args:
        access: to the Kubernetes API.
        namespace: of the route.
        route: its name.
        backends: the two Services.

    Raises:
        ConfigError: the URL is none of HTTP, or the authority's file cannot be read.
    """

    def __init__(
        self, access: KubernetesAccess, namespace: str, route: str, backends: Backends
    ) -> None:
        check_url(access.url, "--url")
        names = f"namespaces/{quote(namespace, safe='')}/httproutes/{quote(route, safe='')}"
        self._name = f"{namespace}/{route}"
        self._url = f"{access.url.rstrip('/')}/apis/gateway.networking.k8s.io/v1/{names}"
        self._access = access
        self._backends = backends
        self._tls = None if access.ca_file is None else _trusting(access.ca_file)

    async def get(self) -> Splitter:
        """See ``TrafficDriver.get``."""
        return read_splitter(await self._read(), self._backends)

    async def set(self, weights: Weights) -> None:
        """See ``TrafficDriver.set``."""
        for _ in range(_ATTEMPTS):
            route = await self._read()
            rules = with_weights(route, self._backends, weights)
            if rules is None or await self._write(route["metadata"]["resourceVersion"], rules):
                return
        raise NotReady(f"HTTPRoute {self._name}: somebody else changes it all the time")

    async def _read(self) -> Any:
        answer = await self._call("GET", None)
        self._check(answer)
        try:
            return msgspec.json.decode(answer.body)
        except msgspec.DecodeError as err:
            raise NotReady(f"{self._access.url}: no answer of a Kubernetes API") from err

    async def _write(self, revision: str, rules: list[Any]) -> bool:
        """Replace the rules of a revision; whether it was still that one."""
        patch = {"metadata": {"resourceVersion": revision}, "spec": {"rules": rules}}
        answer = await self._call("PATCH", msgspec.json.encode(patch))
        if answer.status == _CONFLICT:
            return False
        self._check(answer)
        return True

    async def _call(self, method: str, body: bytes | None) -> HttpAnswer:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = _MERGE_PATCH
        if self._access.token_file is not None:
            headers["Authorization"] = f"Bearer {_token(self._access.token_file)}"
        asked = HttpCall(self._url, self._access.timeout_s, method, body, headers)
        try:
            return await call(asked, self._tls)
        except DeadlineExceeded as err:
            raise DeadlineExceeded(f"{self._access.url}: {err.message}") from err
        except NotReady as err:
            raise NotReady(f"{self._access.url}: {err.message}") from err

    def _check(self, answer: HttpAnswer) -> None:
        """Raise what an answer that is no success means."""
        if 200 <= answer.status < 300:
            return
        raise _error(self._name, answer)


def _error(name: str, answer: HttpAnswer) -> PenstockError:
    try:
        told = msgspec.json.decode(answer.body)["message"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        told = f"HTTP status {answer.status}"
    text = f"HTTPRoute {name}: {' '.join(str(told).split())[:_MAX_TOLD_CHARS]}"
    if answer.status in (401, 403):
        return ConfigError(f"{text}; it takes 'get' and 'patch' on httproutes")
    if answer.status in (404, 405, 415, 422):
        return ConfigError(text)
    return NotReady(text)


def _token(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"--token-file {path}: {_reason(err)}") from err


def _trusting(path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(path))
    except OSError as err:
        raise ConfigError(f"--ca-file {path}: {_reason(err)}") from err


def _reason(err: Exception) -> str:
    return str(getattr(err, "strerror", None) or err).lower()
