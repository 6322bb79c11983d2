"""Calls to somebody outside: every wait has an end, and nothing leads elsewhere."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from penstock.core.errors import ConfigError, DeadlineExceeded, InvalidArgument, NotReady
from penstock.rollout.outside import http_call
from penstock.rollout.outside.http_call import HttpCall, call, check_url
from tests.unit.rollout.outside_server import OutsideServer, Said, outside_server


@pytest.fixture
def server() -> Iterator[OutsideServer]:
    with outside_server() as outside:
        yield outside


async def test_a_body_and_headers_go_out_and_the_answer_comes_back(server: OutsideServer) -> None:
    server.answer = lambda asked: Said(201, b"done")
    headers = {"Content-Type": "text/plain", "Authorization": "Bearer x"}
    answer = await call(HttpCall(f"{server.url}/a?b=c", 5, "POST", b"hello", headers))
    assert answer == (201, b"done")
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/a?b=c", b"hello")
    assert asked.headers["authorization"] == "Bearer x"
    assert asked.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("status", [400, 404, 409, 500, 503])
async def test_an_answer_that_says_no_is_an_answer(server: OutsideServer, status: int) -> None:
    server.answer = lambda asked: Said(status, b"no")
    assert await call(HttpCall(server.url, 5)) == (status, b"no")


async def test_a_server_that_hangs_is_waited_for_so_long_only(server: OutsideServer) -> None:
    server.may_answer.clear()
    with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.05 s"):
        await call(HttpCall(server.url, 0.05))


async def test_headers_that_drip_in_for_ever_keep_no_thread() -> None:
    is_over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not is_over.wait(0.01):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener,))
        dripping.start()
        with pytest.raises(DeadlineExceeded):
            await call(HttpCall(f"http://127.0.0.1:{listener.getsockname()[1]}", 0.05))
        asking = [one for one in threading.enumerate() if one.name == "penstock-http"]
        for thread in asking:
            thread.join(10)
        is_over.set()
        dripping.join(10)
    assert not any(thread.is_alive() for thread in asking)


async def test_nobody_there() -> None:
    with pytest.raises(NotReady, match="nobody answers there"):
        await call(HttpCall("http://127.0.0.1:1", 5))


async def test_a_get_follows_a_redirect_without_its_secrets(server: OutsideServer) -> None:
    def answer(asked: object) -> Said:
        if len(server.asked) == 1:
            return Said(302, b"", {"Location": f"{server.url}/there"})
        return Said(200, b"here")

    server.answer = answer
    asked = HttpCall(server.url, 5, headers={"Authorization": "Bearer secret"})
    assert (await call(asked)).body == b"here"
    assert "authorization" in server.asked[0].headers
    assert "authorization" not in server.asked[1].headers


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://x/"])
async def test_a_redirect_to_another_scheme_is_refused(server: OutsideServer, target: str) -> None:
    server.answer = lambda asked: Said(302, b"", {"Location": target})
    with pytest.raises(NotReady, match="refused"):
        await call(HttpCall(server.url, 5))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_what_is_no_get_follows_no_redirect(server: OutsideServer, status: int) -> None:
    server.answer = lambda asked: Said(status, b"", {"Location": f"{server.url}/there"})
    with pytest.raises(NotReady, match="give the address itself"):
        await call(HttpCall(server.url, 5, "POST", b"{}"))
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", ["http://host", "https://host:9090/base", "http://[::1]:80/"])
def test_addresses(url: str) -> None:
    check_url(url, "webhook.url")


@pytest.mark.parametrize(
    "url",
    ["", "host:9090", "ftp://host", "file:///x", "http://", "http://host:port", "http://u:p@host"],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^webhook\.url: ") as caught:
        check_url(url, "webhook.url")
    assert "u:p" not in caught.value.message


async def test_a_redirect_to_another_host_is_refused(server: OutsideServer) -> None:
    other = server.url.replace("127.0.0.1", "localhost")
    server.answer = lambda asked: Said(302, b"", {"Location": f"{other}/there"})
    with pytest.raises(NotReady, match="another host"):
        await call(HttpCall(server.url, 5))
    assert len(server.asked) == 1


async def test_only_those_who_are_named_are_asked(server: OutsideServer) -> None:
    port = server.url.rpartition(":")[2]
    for hosts in ((), ("127.0.0.1",), (f"127.0.0.1:{port}",), None):
        assert (await call(HttpCall(server.url, 5), hosts=hosts)).status == 200
    with pytest.raises(InvalidArgument, match="setting outbound_hosts") as caught:
        await call(HttpCall(f"{server.url}/secret", 5), hosts=("127.0.0.1:1",))
    assert "secret" not in caught.value.message
    assert not caught.value.retryable
    assert len(server.asked) == 4


async def test_a_redirect_to_another_port_is_one_to_somebody_else(server: OutsideServer) -> None:
    port = server.url.rpartition(":")[2]
    server.answer = lambda asked: Said(302, b"", {"Location": "http://127.0.0.1:1/there"})
    with pytest.raises(InvalidArgument, match="setting outbound_hosts"):
        await call(HttpCall(server.url, 5), hosts=(f"127.0.0.1:{port}",))


async def test_a_name_that_leads_to_a_link_local_address_is_not_asked(
    server: OutsideServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolved(sock: socket.socket) -> tuple[str, int]:
        return "169.254.169.254", 80

    monkeypatch.setattr(http_call, "_peer", resolved)
    with pytest.raises(InvalidArgument, match="link-local"):
        await call(HttpCall(server.url, 5), hosts=())
    assert server.asked == []
    assert (await call(HttpCall(server.url, 5), hosts=("127.0.0.1",))).status == 200


async def test_what_is_no_url_after_all_is_not_told(server: OutsideServer) -> None:
    for tail in ("/a secret", "/a\x7fsecret", "/\u00e9secret"):
        with pytest.raises(NotReady) as caught:
            await call(HttpCall(f"{server.url}{tail}", 5))
        assert "secret" not in caught.value.message


def test_what_has_no_scheme_may_be_a_secret_all_the_same() -> None:
    with pytest.raises(ConfigError) as caught:
        check_url("hooks.example/services/secret", "webhook.url")
    assert "secret" not in caught.value.message
