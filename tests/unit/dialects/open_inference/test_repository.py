"""The model repository extension."""

import pytest

from penstock.core.errors import InvalidArgument, Unsupported
from penstock.core.ids import ServableId
from penstock.core.status import VersionState, VersionStatus
from penstock.dialects.open_inference import repository


def _status(name: str, version: int, state: VersionState, reason: str = "") -> VersionStatus:
    return VersionStatus(ServableId(name, version), state, reason)


def test_the_index_has_every_version_and_models_never_loaded_by_name_only() -> None:
    statuses = [
        _status("b", 2, VersionState.READY),
        _status("b", 1, VersionState.UNLOADED),
        _status("a", 10, VersionState.FAILED, "no such file"),
        _status("a", 9, VersionState.LOADING),
        _status("c", 1, VersionState.UNLOADING),
        _status("d", 1, VersionState.NEW),
    ]
    assert repository.index_entries(statuses, ["z", "b"]) == [
        {"name": "a", "version": "9", "state": "LOADING"},
        {"name": "a", "version": "10", "state": "UNAVAILABLE", "reason": "no such file"},
        {"name": "b", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "b", "version": "2", "state": "READY"},
        {"name": "c", "version": "1", "state": "UNLOADING"},
        {"name": "d", "version": "1", "state": "UNAVAILABLE", "reason": "waiting to be loaded"},
        {"name": "z"},
    ]
    assert repository.index_entries(statuses, ["z"], ready_only=True) == [
        {"name": "b", "version": "2", "state": "READY"}
    ]


def test_every_state_is_known() -> None:
    for state in VersionState:
        entry = repository.index_entries([_status("a", 1, state)])[0]
        assert entry["state"] in ("READY", "UNAVAILABLE", "LOADING", "UNLOADING")


def test_index_bodies() -> None:
    assert repository.read_index_body(b"") is False
    assert repository.read_index_body(b" {} ") is False
    assert repository.read_index_body(b'{"ready":true}') is True
    with pytest.raises(InvalidArgument) as caught:
        repository.read_index_body(b'{"ready":1}')
    assert caught.value.message == "Invalid value for 'ready': expected a boolean"
    with pytest.raises(InvalidArgument, match="must be a JSON object or empty"):
        repository.read_index_body(b"[]")
    with pytest.raises(InvalidArgument, match="failed to parse the request JSON buffer"):
        repository.read_index_body(b"{")


def test_load_bodies() -> None:
    assert repository.read_load_body(b"") is None
    assert repository.read_load_body(b"{}") is None
    body = b'{"parameters":{"config":"{\\"max_batch_size\\":\\"16\\"}"}}'
    assert repository.read_load_body(body) == {"max_batch_size": 16}
    with pytest.raises(InvalidArgument, match="'config' of a load request must be JSON text"):
        repository.read_load_body(b'{"parameters":{"config":{}}}')
    with pytest.raises(InvalidArgument, match='unrecognized parameter "x" of a load request'):
        repository.read_load_body(b'{"parameters":{"x":1}}')
    with pytest.raises(InvalidArgument, match="'parameters' must be an object"):
        repository.read_load_body(b'{"parameters":1}')
    with pytest.raises(Unsupported, match="files in the request is not supported"):
        repository.read_load_body(b'{"parameters":{"config":"{}","file:1/m.onnx":"AA=="}}')


def test_unload_bodies() -> None:
    repository.read_unload_body(b"")
    repository.read_unload_body(b'{"parameters":{"unload_dependents":true}}')
    with pytest.raises(InvalidArgument, match="'unload_dependents' must be a boolean"):
        repository.read_unload_body(b'{"parameters":{"unload_dependents":1}}')
    with pytest.raises(InvalidArgument, match='unrecognized parameter "x" of an unload request'):
        repository.read_unload_body(b'{"parameters":{"x":1}}')


@pytest.mark.parametrize("name", ["../m", "a/b", "a\\b", "..", "."])
def test_names_that_would_leave_the_repository(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        repository.check_names(name)
    assert caught.value.message == "model name must not contain path traversal characters"


def test_names() -> None:
    repository.check_names("my-model.v2")
    with pytest.raises(InvalidArgument, match="Model name cannot be empty"):
        repository.check_names("")
    with pytest.raises(Unsupported, match="'repository_name' specification is not supported"):
        repository.check_names("m", "r")
