"""Models of a hub, against a local server that speaks the two endpoints which are needed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from penstock.core.errors import ConfigError, LoadFailed

from .bringing import Bringer, contents
from .file_server import FileServer, Served

COMMIT = "c" * 40
FILES = {
    ".gitattributes": b"*",
    "config.json": b"{}",
    "onnx/model.onnx": b"weights",
    "model.safetensors": b"safe",
    "pytorch_model.bin": b"the same again",
}


class Hub:
    """A hub with one model."""

    def __init__(self, web: FileServer) -> None:
        self.web = web
        self.publish("main", COMMIT, FILES)

    def publish(self, revision: str, commit: str, files: dict[str, bytes]) -> None:
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
            for name, data in files.items()
        ]
        for entry in siblings:
            if str(entry["rfilename"]).endswith(".safetensors"):
                data = files[str(entry["rfilename"])]
                sha256 = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 1}  # type: ignore[assignment]
        info = {"id": "owner/name", "sha": commit, "siblings": siblings}
        answer = Served(json.dumps(info).encode(), content_type="application/json")
        self.web.files[f"/api/models/owner/name/revision/{revision}?blobs=true"] = answer
        self.web.files["/api/models/owner/name?blobs=true"] = answer
        for name, data in files.items():
            self.web.files[f"/owner/name/resolve/{commit}/{name}"] = Served(data)


@pytest.fixture
def hub(web: FileServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import close_session, constants

    # What HF_ENDPOINT sets when the client is imported.
    template = web.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", web.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", "hf_SECRET")
    yield Hub(web)
    close_session()  # else its connections end when somebody else's test collects garbage


def test_a_revision_comes_as_version_1(hub: Hub, bringer: Bringer) -> None:
    assert bringer.bring("hf://owner/name@main") == {
        "name/1/config.json": b"{}",
        "name/1/model.safetensors": b"safe",
        "name/1/onnx/model.onnx": b"weights",
    }


def test_a_branch_is_followed(hub: Hub, bringer: Bringer) -> None:
    mirror, root = bringer.mirror("hf://owner/name")
    assert mirror.look() == (False, True)
    assert mirror.look() == (False, False)
    hub.publish("main", "d" * 40, {**FILES, "config.json": b"{1}"})
    assert mirror.look() == (False, True)
    assert contents(root)["name/1/config.json"] == b"{1}"


def test_the_token_goes_to_the_hub_and_nowhere_else(hub: Hub, bringer: Bringer) -> None:
    with FileServer().running() as elsewhere:
        elsewhere.files["/blob"] = Served(b"safe")
        path = f"/owner/name/resolve/{COMMIT}/model.safetensors"
        hub.web.files[path] = Served(location=f"{elsewhere.url}/blob")
        assert bringer.bring("hf://owner/name")["name/1/model.safetensors"] == b"safe"
        assert [one.authorization for one in elsewhere.asked] == [""]
    assert "Bearer hf_SECRET" in {one.authorization for one in hub.web.asked}


def test_weights_that_are_not_what_the_hub_says(hub: Hub, bringer: Bringer) -> None:
    hub.web.files[f"/owner/name/resolve/{COMMIT}/model.safetensors"] = Served(b"evil")
    with pytest.raises(LoadFailed, match=r"hf://owner/name: model\.safetensors: wrong digest"):
        bringer.bring("hf://owner/name")


def test_no_such_model(hub: Hub, bringer: Bringer) -> None:
    with pytest.raises(LoadFailed, match=r"hf://owner/other@main: .*\(40[134]\)"):
        bringer.bring("hf://owner/other@main")


def test_a_missing_package(bringer: Bringer, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"pip install 'penstock\[hub\]'"):
        bringer.bring("hf://owner/name")
