"""A file of the web: held to its digest, resumed, refused where it cannot be trusted."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from penstock.core.errors import ConfigError, LoadFailed
from penstock.repository.remote.remote_store import RemoteOptions

from .bringing import AT_ONCE, Bringer
from .certificate import make_certificate
from .file_server import FileServer, Served

CONTENT = bytes(range(256)) * 2000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_comes_whole_and_is_a_model_named_after_it(
    web: FileServer, bringer: Bringer
) -> None:
    web.files["/m/fraud.onnx"] = Served(CONTENT)
    came = bringer.bring(f"{web.url}/m/fraud.onnx#sha256={DIGEST}")
    assert came == {"fraud/fraud.onnx": CONTENT}


def test_what_the_cache_has_is_not_fetched_again(web: FileServer, bringer: Bringer) -> None:
    web.files["/a.onnx"] = Served(CONTENT)
    for _ in range(2):
        bringer.bring(f"{web.url}/a.onnx#sha256={DIGEST}")
    assert web.ranges("/a.onnx") == [""]


def test_a_broken_answer_is_resumed_where_it_broke(web: FileServer, bringer: Bringer) -> None:
    web.files["/a.onnx"] = Served(CONTENT, breaks=2, breaks_after=1000)
    assert bringer.bring(f"{web.url}/a.onnx#sha256={DIGEST}") == {"a/a.onnx": CONTENT}
    assert web.ranges("/a.onnx") == ["", "bytes=1000-", "bytes=2000-"]


def test_a_server_without_ranges_is_asked_for_all_of_it_again(
    web: FileServer, bringer: Bringer
) -> None:
    web.files["/a.onnx"] = Served(CONTENT, breaks=1, breaks_after=1000, has_ranges=False)
    assert bringer.bring(f"{web.url}/a.onnx#sha256={DIGEST}") == {"a/a.onnx": CONTENT}
    assert web.ranges("/a.onnx") == ["", "bytes=1000-"]


def test_a_half_download_of_another_process_is_resumed(web: FileServer, tmp_path: Path) -> None:
    web.files["/a.onnx"] = Served(CONTENT, breaks=3, breaks_after=7)
    url = f"{web.url}/a.onnx#sha256={DIGEST}"
    with pytest.raises(LoadFailed, match="cannot be fetched"):
        Bringer(tmp_path).bring(url)
    assert Bringer(tmp_path).bring(url) == {"a/a.onnx": CONTENT}
    assert web.ranges("/a.onnx")[-1] == "bytes=21-"


def test_a_wrong_digest_is_refused_and_nothing_is_kept(web: FileServer, bringer: Bringer) -> None:
    web.files["/a.onnx"] = Served(b"something else")
    with pytest.raises(LoadFailed, match=f"wrong digest: expected sha256 {DIGEST}") as caught:
        bringer.bring(f"{web.url}/a.onnx#sha256={DIGEST}")
    assert not caught.value.retryable
    assert web.ranges("/a.onnx") == [""]
    assert bringer.blobs == 0
    assert not list((bringer.path / "partial").iterdir())


def test_a_resumed_file_that_was_replaced_is_fetched_afresh(
    web: FileServer, bringer: Bringer
) -> None:
    web.files["/a.onnx"] = Served(b"old" * 1000, breaks=3, breaks_after=100)
    url = f"{web.url}/a.onnx#sha256={DIGEST}"
    with pytest.raises(LoadFailed):
        bringer.bring(url)
    web.files["/a.onnx"] = Served(CONTENT)
    assert bringer.bring(url) == {"a/a.onnx": CONTENT}


@pytest.mark.parametrize(("status", "says"), [(403, "refuses .403."), (404, "not there .404.")])
def test_a_refusal_is_final_and_names_the_address_without_its_query(
    web: FileServer, bringer: Bringer, status: int, says: str
) -> None:
    web.files["/a.onnx?sig=SECRET"] = Served(CONTENT, statuses=[status] * 9)
    with pytest.raises(LoadFailed, match=f"{web.url}/a.onnx: .*{says}") as caught:
        bringer.bring(f"{web.url}/a.onnx?sig=SECRET#sha256={DIGEST}")
    assert "SECRET" not in caught.value.message
    assert len(web.asked) == 1
    assert not caught.value.retryable


def test_the_secret_of_a_signed_address_is_written_nowhere(
    web: FileServer, bringer: Bringer
) -> None:
    web.files["/a.onnx?sig=SECRET"] = Served(CONTENT)
    assert bringer.bring(f"{web.url}/a.onnx?sig=SECRET#sha256={DIGEST}") == {"a/a.onnx": CONTENT}
    files = [path for path in bringer.path.rglob("*") if path.is_file()]
    assert files
    assert not any(b"SECRET" in path.read_bytes() or "SECRET" in path.name for path in files)


def test_a_server_that_is_busy_is_asked_again(web: FileServer, bringer: Bringer) -> None:
    web.files["/a.onnx"] = Served(CONTENT, statuses=[503, 429])
    assert bringer.bring(f"{web.url}/a.onnx#sha256={DIGEST}") == {"a/a.onnx": CONTENT}


def test_attempts_are_bounded(web: FileServer, bringer: Bringer) -> None:
    web.files["/a.onnx"] = Served(CONTENT, statuses=[503] * 9)
    with pytest.raises(LoadFailed, match="status 503"):
        bringer.bring(f"{web.url}/a.onnx#sha256={DIGEST}")
    assert len(web.asked) == AT_ONCE.attempts


def test_a_slow_server_is_given_up(web: FileServer, bringer: Bringer) -> None:
    web.files["/a.onnx"] = Served(CONTENT, stall=threading.Event())
    hasty = RemoteOptions(timeout_s=0.05, attempts=2, initial_backoff_s=0)
    with pytest.raises(LoadFailed, match=r"no answer within 0\.05 s") as caught:
        bringer.bring(f"{web.url}/a.onnx#sha256={DIGEST}", options=hasty)
    assert caught.value.retryable


def test_nobody_there(bringer: Bringer) -> None:
    with pytest.raises(LoadFailed, match=r"localhost:1 cannot be reached \(connection refused\): "):
        bringer.bring(f"http://localhost:1/a.onnx#sha256={DIGEST}")


def test_a_digest_is_asked_for(bringer: Bringer) -> None:
    with pytest.raises(ConfigError, match=r"has no digest: expected https://host/a\.onnx#sha256="):
        bringer.bring("https://host/a.onnx?sig=SECRET")


def test_plain_http_without_a_digest_is_never_allowed(web: FileServer, bringer: Bringer) -> None:
    web.files["/a.onnx"] = Served(CONTENT)
    with pytest.raises(ConfigError, match="needs a digest"):
        bringer.bring(f"{web.url}/a.onnx", options=RemoteOptions(allow_unverified=True))


class TestTls:
    @pytest.fixture
    def tls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileServer:
        certificate = make_certificate(tmp_path / "server.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        return FileServer(certificate)

    def test_without_a_digest_where_it_is_allowed(self, tls: FileServer, bringer: Bringer) -> None:
        unverified = RemoteOptions(timeout_s=5, attempts=1, allow_unverified=True)
        with tls.running():
            tls.files["/a.onnx"] = Served(b"one", etag='"1"')
            mirror, root = bringer.mirror(f"{tls.url}/a.onnx", options=unverified)
            assert mirror.look().is_changed
            assert not mirror.look().is_changed
            tls.files["/a.onnx"] = Served(b"two", etag='"2"')
            assert mirror.look().is_changed
        assert (root / "a" / "a.onnx").read_bytes() == b"two"
        assert len(tls.ranges("/a.onnx")) == 2

    def test_a_redirect_out_of_https_is_refused(
        self, tls: FileServer, web: FileServer, bringer: Bringer
    ) -> None:
        with tls.running():
            tls.files["/a.onnx"] = Served(location=f"{web.url}/a.onnx")
            with pytest.raises(LoadFailed, match="redirects to http://, which is refused"):
                bringer.bring(f"{tls.url}/a.onnx#sha256={DIGEST}")
        assert not web.asked

    def test_a_certificate_nobody_trusts(
        self, tls: FileServer, bringer: Bringer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        with tls.running(), pytest.raises(LoadFailed, match=r"certificate .* is not trusted"):
            bringer.bring(f"{tls.url}/a.onnx#sha256={DIGEST}")
