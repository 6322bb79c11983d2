"""PyTorch's files are told apart without PyTorch."""

import zipfile
from pathlib import Path

import pytest

from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.runtime.pytorch.file_kind import TorchFile, kind_of, look

ID = ServableId("m", 1)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["m/data.pkl", "m/code/__torch__.py", "m/constants.pkl"], TorchFile.SCRIPT),
        (["m/archive_format", "m/models/model.json", "m/data/x.pt"], TorchFile.PROGRAM),
        (["serialized_exported_program.json", "version"], TorchFile.PROGRAM),
        (["m/archive_format", "m/data/aotinductor/model/a.so"], TorchFile.NATIVE),
        (["m/data.pkl", "m/data/0", "m/version"], TorchFile.SAVED),
        (["a.txt", "data.pkl.txt"], None),
        ([], None),
    ],
)
def test_the_names_inside_tell(names: list[str], kind: TorchFile | None) -> None:
    assert kind_of(names) is kind


def write(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"m/{name}.pkl", content)
    return path


def test_an_old_pickle_is_told_by_its_first_byte(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"\x80\x02}q\x00.")
    assert look(ID, tmp_path / "m.pt") is TorchFile.SAVED


def test_an_archive_inside_a_cut_one_is_not_taken_for_the_model(tmp_path: Path) -> None:
    inner = write(tmp_path / "inner", data=b"")
    whole = write(tmp_path / "m.pt2", archive=inner.read_bytes(), last=b"x" * 99).read_bytes()
    (tmp_path / "m.pt2").write_bytes(whole[: whole.rindex(b"x" * 99)])
    with pytest.raises(LoadFailed, match=r"^'m' version 1: m\.pt2 is cut off: copy it again$"):
        look(ID, tmp_path / "m.pt2")


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "is no PyTorch file"), (b"GGUF...", "is no PyTorch file"), (b"PK\x03", "is cut off")],
)
def test_what_is_no_archive(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(LoadFailed, match=text):
        look(ID, tmp_path / "m.pt")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"m\.pt cannot be read: No such file") as caught:
        look(ID, tmp_path / "m.pt")
    assert not caught.value.retryable
