"""The ``torch`` runtime refuses what is damaged, hostile or another thing, and says why."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.frameworks.torch_models import (  # noqa: E402  # needs torch
    FIELDS,
    Net,
    assert_answers_as_the_model,
    load_class,
    refused,
    save_class,
    save_program,
    save_script,
)

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"weight": "net.pt"}, "$.runtime_options.weight: unknown field, did you mean 'weights'?"),
        ({}, "weights: net.py is a class: say the file of its state dict here"),
        ({"weights": "../net.pt"}, "expected a path in the version's folder, got '../net.pt'"),
        ({"weights": "gone.pt"}, "there is no weights file 'gone.pt' beside the class"),
        (
            {"weights": "net.pt", "arguments": {"size": 3}},
            "making Net(size=3) raised TypeError",
        ),
        (
            {"weights": "net.pt", "arguments": {"classes": 4}},
            "net.pt does not fit the class: Error(s) in loading state_dict for Net",
        ),
    ],
)
def test_wrong_options_of_a_class(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    assert text in refused(save_class(tmp_path), signature=FIELDS, runtime_options=options)


def test_weights_of_another_class(tmp_path: Path) -> None:
    path = save_class(tmp_path, {"layer.weight": torch.zeros(3, 4)})
    options = {"weights": "net.pt"}
    assert "lacks ['layer.bias'], 1 in all" in refused(path, runtime_options=options)
    save_class(tmp_path, {**Net().state_dict(), "more": torch.zeros(1)})
    assert "has besides ['more'], 1 in all" in refused(path, runtime_options=options)


def test_a_training_checkpoint_holds_the_weights(tmp_path: Path) -> None:
    path = save_class(tmp_path, {"epoch": 3, "state_dict": Net().state_dict()})
    assert_answers_as_the_model(load_class(path))


def test_a_file_without_the_class(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import torch\n")
    options = {"weights": "net.pt"}
    message = refused(tmp_path / "net.py", runtime_options=options)
    assert "net.py should hold one subclass of torch.nn.Module, has []" in message
    (tmp_path / "net.py").write_text("1 / 0\n")
    assert "importing net.py raised ZeroDivisionError" in refused(
        tmp_path / "net.py", runtime_options=options
    )


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_not_run(tmp_path: Path, zipped: bool) -> None:
    hostile = {"layer.bias": Hostile(tmp_path / "owned")}
    path = save_class(tmp_path)
    torch.save(hostile, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    for message in (
        refused(path, signature=FIELDS, runtime_options={"weights": "net.pt"}),
        refused(tmp_path / "net.pt"),
    ):
        assert "net.pt is refused: it is a pickle that names " in message
        assert ("posix.mkdir" in message) is zipped
    assert not (tmp_path / "owned").exists()


def test_a_pickled_module_is_refused_with_the_reason(tmp_path: Path) -> None:
    torch.save(Net(), tmp_path / "model.pt")
    message = refused(tmp_path / "model.pt")
    assert f"{Net.__module__}.Net" in message
    assert "Save model.state_dict() instead, and serve a state dict with its class" in message


def test_a_state_dict_alone_says_what_is_missing(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "model.pt")
    assert "model.pt holds weights without their class: " in refused(tmp_path / "model.pt")


@pytest.mark.parametrize("member", ["data/sample_inputs/model.pt", "data/weights/model.pt"])
def test_a_pickle_inside_a_program_is_not_run(tmp_path: Path, member: str) -> None:
    path = save_program(tmp_path / "m.pt2")
    payload = io.BytesIO()
    torch.save((Hostile(tmp_path / "owned"),), payload)
    change_member(path, member, payload.getvalue())
    assert "m.pt2 is refused: it holds a pickle of more than tensors" in refused(path)
    assert not (tmp_path / "owned").exists()


def test_a_program_that_names_pickled_objects(tmp_path: Path) -> None:
    path = save_program(tmp_path / "m.pt2")
    name = "data/constants/model_constants_config.json"
    entry = b'{"config": {"a": {"path_name": "opaque_obj_0", "use_pickle": true}}}'
    change_member(path, name, entry)
    assert "model_constants_config.json names pickled objects" in refused(path)


def change_member(path: Path, member: str, content: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    top = next(iter(members)).partition("/")[0]
    members[f"{top}/{member}"] = content
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


@pytest.mark.parametrize("kind", ["script", "program", "weights", "safetensors"])
def test_a_cut_file(tmp_path: Path, kind: str) -> None:
    if kind == "script":
        path = cut = save_script(tmp_path / "m.pt")
    elif kind == "program":
        path = cut = save_program(tmp_path / "m.pt2")
    else:
        path, cut = save_class(tmp_path), tmp_path / "net.pt"
    if kind == "safetensors":
        safetensors = pytest.importorskip("safetensors.torch")
        cut = tmp_path / "net.safetensors"
        safetensors.save_file(Net().state_dict(), cut)
    cut.write_bytes(cut.read_bytes()[:-40])
    options = {"weights": cut.name} if path.suffix == ".py" else {}
    message = refused(path, signature=FIELDS, runtime_options=options)
    assert "is cut off" in message


def test_an_archive_that_is_none_of_pytorchs(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("a.txt", "")
    assert "m.pt is an archive, but none that PyTorch writes" in refused(tmp_path / "m.pt")
    change_member(tmp_path / "m.pt", "data/aotinductor/model/a.so", b"")
    assert "is native code of AOTInductor, which is not served" in refused(tmp_path / "m.pt")


def test_a_program_of_a_number_is_refused(tmp_path: Path) -> None:
    class Power(torch.nn.Module):
        def forward(self, x: torch.Tensor, n: int) -> torch.Tensor:
            return x**n

    path = save_program(tmp_path / "m.pt2", Power(), torch.zeros(2, 4), 2, rows=None)
    assert "takes or gives '2', which is no tensor" in refused(path)
