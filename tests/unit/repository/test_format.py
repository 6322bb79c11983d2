"""Which file of a version is the model, and the texts when none is."""

from __future__ import annotations

import pytest

from penstock.repository.format import Artifact, choose_artifact, refuse_ending, split_class


@pytest.mark.parametrize(
    ("files", "entry", "runtime", "expected"),
    [
        (["model.onnx"], None, None, Artifact("model.onnx", "onnx")),
        (["net.ONNX", "README.md"], None, None, Artifact("net.ONNX", "onnx")),
        (["a.onnx", "model.onnx"], None, None, Artifact("model.onnx", "onnx")),
        (["model.onnx", "model.onnx.data"], None, None, Artifact("model.onnx", "onnx")),
        (["app.py"], None, None, Artifact("app.py", "python")),
        (["net.onnx", "tools.py"], None, "onnx", Artifact("net.onnx", "onnx")),
        (["model.py", "model.onnx"], None, "python", Artifact("model.py", "python")),
        (["a.onnx", "b.onnx"], "b.onnx", None, Artifact("b.onnx", "onnx")),
        (["sub/b.onnx"], "./sub/b.onnx", None, Artifact("sub/b.onnx", "onnx")),
        (["app.py"], "app.py:Net", "python", Artifact("app.py", "python", "Net")),
        (["model.onnx", "code/x.py"], None, None, Artifact("model.onnx", "onnx")),
        (["model.hub", "README.md"], None, None, Artifact("model.hub", "huggingface")),
        (
            ["config.json", "model.safetensors", "tokenizer.json"],
            None,
            None,
            Artifact("config.json", "huggingface"),
        ),
        (["config.json", "pytorch_model.bin"], None, None, Artifact("config.json", "huggingface")),
        (
            ["model.onnx", "config.json", "a.safetensors"],
            None,
            None,
            Artifact("model.onnx", "onnx"),
        ),
        (["app.py", "config.json", "a.safetensors"], None, None, Artifact("app.py", "python")),
        (
            ["app.py", "config.json", "a.safetensors"],
            None,
            "huggingface",
            Artifact("config.json", "huggingface"),
        ),
        (["config.json"], "config.json", None, Artifact("config.json", "huggingface")),
        (["clf.skops"], None, None, Artifact("clf.skops", "sklearn")),
        (["net.pt2", "labels.txt"], None, None, Artifact("net.pt2", "torch")),
        (["app.py", "weights.pt"], None, None, Artifact("app.py", "python")),
        (["app.py", "weights.pt"], None, "torch", Artifact("weights.pt", "torch")),
        (["app.py", "weights.pt"], "app.py:Net", "torch", Artifact("app.py", "torch", "Net")),
        (["net.py", "w.safetensors"], None, "torch", Artifact("net.py", "torch")),
        (["net.onnx"], None, "openvino", Artifact("net.onnx", "openvino")),
        (["net.xml", "net.bin"], None, None, Artifact("net.xml", "openvino")),
        (["model.json", "config.json"], None, "xgboost", Artifact("model.json", "xgboost")),
        (["m.ubj", "features.json"], None, "xgboost", Artifact("m.ubj", "xgboost")),
        (["model.txt", "README.txt"], None, "lightgbm", Artifact("model.txt", "lightgbm")),
        (
            ["saved_model.pb", "keras_metadata.pb"],
            None,
            None,
            Artifact("saved_model.pb", "tensorflow"),
        ),
        (["MLmodel", "model.pkl", "model.onnx"], None, None, Artifact("MLmodel", "mlflow")),
    ],
)
def test_the_model_is_found(
    files: list[str], entry: str | None, runtime: str | None, expected: Artifact
) -> None:
    assert choose_artifact(files, entry=entry, runtime=runtime) == expected


@pytest.mark.parametrize(
    ("files", "entry", "runtime", "expected"),
    [
        (
            ["weights.bin", "README.md"],
            None,
            None,
            "no artifact: expected model.onnx or model.py, or one file of a format that a runtime "
            "serves; found: README.md, weights.bin",
        ),
        (
            [],
            None,
            "onnx",
            "no artifact: expected one file ending in .onnx; found: nothing",
        ),
        (
            ["a.onnx", "b.onnx"],
            None,
            None,
            "several files could be the model: a.onnx, b.onnx; name one in 'entry'",
        ),
        (
            ["model.onnx", "model.py"],
            None,
            None,
            "several files could be the model: model.onnx, model.py; name one in 'entry'",
        ),
        (["model.py"], None, "onnx", "'runtime: onnx' does not run model.py"),
        (
            ["model.hub", "model.onnx"],
            None,
            None,
            "several files could be the model: model.hub, model.onnx; name one in 'entry'",
        ),
        (
            ["config.json"],
            None,
            "huggingface",
            "no artifact: expected model.hub, or config.json and *.safetensors as "
            "save_pretrained writes them; found: config.json",
        ),
        (
            ["model.safetensors"],
            None,
            None,
            "'model.safetensors' is a model's weights alone: a saved transformers model has its "
            "config.json and its tokenizer beside them; serve the folder of all",
        ),
        (
            ["model.py"],
            "model.py",
            "onnx",
            "'runtime: onnx' does not run 'entry: model.py', which is python",
        ),
        (["a.onnx"], "b.onnx", None, "'entry: b.onnx' is not there; found: a.onnx"),
        (
            ["w.gguf", "config.json"],
            None,
            None,
            "no runtime for '.gguf' (GGUF) in this version: "
            "convert the model to ONNX, or wrap it in a Python model",
        ),
        (
            ["w.bin"],
            "w.bin",
            None,
            "'entry: w.bin': no runtime for '.bin' in this version: "
            "convert the model to ONNX, or wrap it in a Python model",
        ),
        (
            [f"f{n}.txt" for n in range(10)],
            None,
            None,
            "no artifact: expected model.onnx or model.py, or one file of a format that a runtime "
            "serves; "
            "found: f0.txt, f1.txt, f2.txt, f3.txt, f4.txt, f5.txt, f6.txt, f7.txt and 2 more",
        ),
        (
            ["notes.md"],
            None,
            "mlflow",
            "no artifact: expected MLmodel; found: notes.md",
        ),
        (
            ["a.txt", "b.txt"],
            None,
            "lightgbm",
            "several files could be the model: a.txt, b.txt; name one in 'entry'",
        ),
    ],
)
def test_why_there_is_no_model_is_said(
    files: list[str], entry: str | None, runtime: str | None, expected: str
) -> None:
    assert choose_artifact(files, entry=entry, runtime=runtime) == expected


@pytest.mark.parametrize("name", ["a.engine", "a.gguf", "frozen.pb", "a.tflite", "a.h5"])
def test_well_known_formats_are_named(name: str) -> None:
    assert "no runtime for '." in refuse_ending(name)
    assert " (" in refuse_ending(name).split(" in this version")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app.py:Net", ("app.py", "Net")),
        ("a/b:c/app.py", ("a/b:c/app.py", None)),
        ("app.py:not a class", ("app.py:not a class", None)),
        ("model.onnx:Net", ("model.onnx:Net", None)),
    ],
)
def test_a_class_is_split_off_python_files_only(
    text: str, expected: tuple[str, str | None]
) -> None:
    assert split_class(text) == expected


def test_an_ending_that_may_be_anything_says_how_it_is_a_model() -> None:
    assert refuse_ending("xg.json") == (
        "'xg.json' may be anything: where it is a model, put it in a folder whose model.yaml "
        "says 'runtime: xgboost', and serve the folder"
    )
