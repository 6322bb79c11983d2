"""open_predictors on a model of this disk: found, digested, loaded, asked, given back."""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from penstock.app.jobs.load_apart import load_apart
from penstock.app.jobs.predictors import open_predictors
from penstock.core.errors import Cancelled, ConfigError, LoadFailed, ModelFailed
from penstock.core.tensor import Tensor, object_array
from penstock.jobs.model_ref import ModelRef
from penstock.jobs.predictor import Predictor, Predictors
from penstock.repository.package_options import PACKAGE_ENDING
from tests.interop.models import save_version

SHOUT = """
import penstock

class Shout(penstock.Model):
    def predict(self, text: list[str]) -> list[str]:
        for index, one in enumerate(text):
            if one == "boom":
                raise RuntimeError("on fire")
            if not one:
                raise penstock.InvalidInput(index, "nothing to shout")
        return [one.upper() for one in text]
"""
CALLER = """
import penstock
from penstock import Rows

class Caller(penstock.Model):
    def load(self, context):
        self.client = context.client
    def predict(self, text: list[str]) -> list[str]:
        if text == [""]:
            return text
        name = "nobody" if text == ["lost"] else "shout"
        answer = self.client.infer(name, text=text)["output"]
        return [one.decode() + "!" for one in answer]
"""
MEETS = """
import sys, penstock

class Meets(penstock.Model):
    def predict(self, text: list[str]) -> list[str]:
        if text != [""]:
            sys.meeting.wait(10)
        return text
"""
COUNTS = """
import penstock
from penstock import Rows

class Counts(penstock.Model):
    def load(self, context):
        self.calls = 0
    def predict(self, x: Rows["FP32", 2]) -> Rows["FP32", 2]:
        self.calls += 1
        return x * 0 + self.calls
"""

FAILS = """
import penstock

class Fails(penstock.Model):
    def load(self, context):
        raise ValueError("boom")
    def predict(self, text: list[str]) -> list[str]:
        return text
"""


def put(repository: Path, name: str, code: str, version: int = 1, manifest: str = "") -> Path:
    folder = repository / name / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(code)
    if manifest:
        (repository / name / "model.yaml").write_text(manifest)
    return folder


def texts(*values: str) -> tuple[Tensor, ...]:
    return (Tensor.from_array("text", object_array([value.encode() for value in values])),)


@pytest.fixture
def opened() -> Iterator[contextlib.ExitStack]:
    """What is closed after the test, copies first."""
    with contextlib.ExitStack() as stack:
        yield stack


def open_at(held: contextlib.ExitStack, path: Path, **fields: object) -> Predictors:
    ref = msgspec.convert({"path": str(path), **fields}, ModelRef)
    return held.enter_context(contextlib.closing(open_predictors(ref)))


def copy_of(held: contextlib.ExitStack, predictors: Predictors) -> Predictor:
    return held.enter_context(contextlib.closing(predictors.open()))


def test_a_copy_answers_and_refuses_rows_alone(
    tmp_path: Path, opened: contextlib.ExitStack
) -> None:
    put(tmp_path, "shout", SHOUT)
    predictors = open_at(opened, tmp_path)
    assert (predictors.identity.name, predictors.identity.version) == ("shout", 1)
    assert [spec.name for spec in predictors.signature.inputs] == ["text"]
    predictor = copy_of(opened, predictors)
    result = predictor.predict(texts("a", "", "b"))
    assert result.outputs[0].array.tolist() == [b"A", b"B"]
    assert result.invalid[1].reason == "nothing to shout"


def test_what_the_model_raises_is_typed(tmp_path: Path, opened: contextlib.ExitStack) -> None:
    put(tmp_path, "shout", SHOUT)
    predictor = copy_of(opened, open_at(opened, tmp_path))
    with pytest.raises(ModelFailed, match="'shout' version 1 failed: RuntimeError: on fire"):
        predictor.predict(texts("a", "boom"))
    assert predictor.predict(texts("a")).outputs[0].array.tolist() == [b"A"]


def test_each_copy_is_one_of_its_own_and_warm(tmp_path: Path, opened: contextlib.ExitStack) -> None:
    put(tmp_path, "counts", COUNTS, manifest="instances: {count: 3}\n")
    predictors = open_at(opened, tmp_path)
    x = (Tensor.from_array("x", np.zeros((1, 2), np.float32)),)
    first, second = copy_of(opened, predictors), copy_of(opened, predictors)
    calls = [one.predict(x).outputs[0].array[0, 0] for one in (first, second, first)]
    assert calls == [5, 5, 6]  # the four of the warm-up were before


@pytest.mark.parametrize("asked", ["signature first", "copy first"])
def test_a_model_is_loaded_once_for_its_signature_and_its_first_copy(
    tmp_path: Path, opened: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    loads: list[str] = []
    monkeypatch.setattr(sys, "loads", loads, raising=False)
    code = COUNTS.replace("self.calls = 0", "self.calls = 0; import sys; sys.loads.append('')")
    put(tmp_path, "counts", code)
    predictors = open_at(opened, tmp_path)
    if asked == "signature first":
        assert predictors.signature.inputs
    copy_of(opened, predictors)
    assert predictors.signature.inputs
    assert len(loads) == 1
    copy_of(opened, predictors)
    assert len(loads) == 2


def test_copies_compute_on_the_callers_threads_at_once(
    tmp_path: Path, opened: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = threading.Barrier(2)
    monkeypatch.setattr(sys, "meeting", meeting, raising=False)
    put(tmp_path, "meets", MEETS)
    predictors = open_at(opened, tmp_path)
    copies = [copy_of(opened, predictors) for _ in range(2)]
    threads = [threading.Thread(target=one.predict, args=(texts("x"),)) for one in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not meeting.broken


def test_a_model_calls_its_neighbour(tmp_path: Path, opened: contextlib.ExitStack) -> None:
    put(tmp_path, "shout", SHOUT)
    put(tmp_path, "caller", CALLER)
    predictor = copy_of(opened, open_at(opened, tmp_path, name="caller"))
    assert predictor.predict(texts("a", "b")).outputs[0].array.tolist() == [b"A!", b"B!"]
    with pytest.raises(ModelFailed, match="'shout' version 1 failed: RuntimeError: on fire"):
        predictor.predict(texts("boom"))
    with pytest.raises(ModelFailed, match="its call to model 'nobody' was refused"):
        predictor.predict(texts("lost"))


def test_a_copy_in_a_process_of_its_own_comes_back(
    tmp_path: Path, opened: contextlib.ExitStack
) -> None:
    code = """
import os, penstock

class Pid(penstock.Model):
    def predict(self, text: list[str]) -> list[str]:
        if "die" in text:
            os._exit(3)
        return [str(os.getpid()) for _ in text]
"""
    put(tmp_path, "pid", code, manifest="instances: {kind: process}\n")
    predictor = copy_of(opened, open_at(opened, tmp_path))
    (first,) = predictor.predict(texts("a")).outputs[0].array.tolist()
    with pytest.raises(ModelFailed, match="died") as raised:
        predictor.predict(texts("die"))
    assert raised.value.retryable
    (second,) = predictor.predict(texts("a")).outputs[0].array.tolist()
    assert len({first, second}) == 2


def test_a_version_by_number_label_and_policy(tmp_path: Path, opened: contextlib.ExitStack) -> None:
    manifest = "version_policy: {specific: [1, 2]}\nlabels: {stable: 1}\n"
    for version in (1, 2, 3):
        put(tmp_path, "shout", SHOUT, version, manifest)
    found = [
        open_at(opened, tmp_path, name="shout", version=version).identity.version
        for version in ("", "stable", 3, "3")
    ]
    assert found == [2, 1, 3, 3]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "shuot"}, "no model 'shuot' is there; did you mean 'shout'?"),
        ({"name": "shout", "version": 9}, "model 'shout': no version 9 is there, but 1"),
        ({"name": "shout", "version": "stabel"}, "has the label 'stabel'; did you mean 'stable'?"),
        ({}, "holds several models: say 'name', one of other, shout"),
    ],
)
def test_what_is_not_there_names_what_is(
    tmp_path: Path, opened: contextlib.ExitStack, fields: dict[str, object], text: str
) -> None:
    put(tmp_path, "shout", SHOUT, manifest="labels: {stable: 1}\n")
    put(tmp_path, "other", SHOUT)
    with pytest.raises(ConfigError) as raised:
        open_at(opened, tmp_path, **fields)
    assert text in raised.value.message


def test_a_path_that_is_not_there_is_told_with_its_field(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(ConfigError) as raised:
        open_predictors(ModelRef(path=str(tmp_path / "modls")))
    text = raised.value.message
    assert text.startswith(f"model.path: {tmp_path}/modls: no such file or folder; did you mean")


@pytest.mark.parametrize("fields", [{}, {"path": "a", "url": "grpc://h:1", "name": "m"}])
def test_a_reference_is_a_path_or_a_url(fields: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"either 'path' .* or 'url'"):
        open_predictors(ModelRef(**fields))  # type: ignore[arg-type]


def test_the_digest_is_of_what_answers(tmp_path: Path, opened: contextlib.ExitStack) -> None:
    digests = {}
    variants = {
        "plain": (SHOUT, ""),
        "served otherwise": (SHOUT, "labels: {a: 1}\ninstances: {count: 2}\ndescription: x\n"),
        "other code": (SHOUT + "# more\n", ""),
        "other options": (SHOUT, "runtime_options: {a: 1}\n"),
        "other batches": (SHOUT, "max_batch_size: 4\n"),
    }
    for name, (code, manifest) in variants.items():
        put(tmp_path / name, "shout", code, manifest=manifest)
        digests[name] = open_at(opened, tmp_path / name).identity.digest
    assert digests.pop("served otherwise") == digests["plain"]
    assert len(set(digests.values())) == len(digests)
    assert all(len(digest) == 64 for digest in digests.values())


def test_a_job_may_say_another_size_of_batches(
    tmp_path: Path, opened: contextlib.ExitStack
) -> None:
    put(tmp_path, "counts", COUNTS, manifest="max_batch_size: 2\n")
    rows = (Tensor.from_array("x", np.zeros((5, 2), np.float32)),)
    plain, wider = open_at(opened, tmp_path), open_at(opened, tmp_path, max_batch_size=8)

    def executions(of: Predictors) -> int:
        return len(set(copy_of(opened, of).predict(rows).outputs[0].array[:, 0].tolist()))

    assert (executions(plain), executions(wider)) == (3, 1)
    assert wider.identity.digest != plain.identity.digest


def test_a_model_without_batches_is_given_none(
    tmp_path: Path, opened: contextlib.ExitStack
) -> None:
    put(tmp_path, "shout", SHOUT, manifest="max_batch_size: 0\n")
    with pytest.raises(
        ConfigError, match=r"max_batch_size: 'shout' version 1 takes no batches .* leave it"
    ):
        open_at(opened, tmp_path, max_batch_size=8)


def test_a_server_is_not_told_its_batches() -> None:
    with pytest.raises(ConfigError, match=r"model\.max_batch_size: a server decides that itself"):
        open_predictors(ModelRef(url="grpc://h:1", name="m", max_batch_size=8))


def test_a_package_answers_as_its_folder_does(tmp_path: Path, opened: contextlib.ExitStack) -> None:
    from penstock.app.packing import PackOptions, pack

    save_version(tmp_path / "source", "m", 1)
    package = tmp_path / f"m{PACKAGE_ENDING}"
    pack(tmp_path / "source/m/1", package, PackOptions())
    predictors = open_at(opened, package)
    assert predictors.identity == open_at(opened, tmp_path / "source").identity
    answer = copy_of(opened, predictors).predict(texts("a"))
    assert answer.outputs[0].array.tolist() == [b"a-v1"]


def test_a_model_that_does_not_load_says_why(tmp_path: Path, opened: contextlib.ExitStack) -> None:
    put(tmp_path, "broken", "raise OSError('no weights')\n")
    predictors = open_at(opened, tmp_path)
    with pytest.raises(LoadFailed, match="no weights"):
        predictors.open()


def test_a_pinned_reference_is_the_same_version_elsewhere(
    tmp_path: Path, opened: contextlib.ExitStack
) -> None:
    put(tmp_path, "shout", SHOUT)
    first = open_at(opened, tmp_path)
    ref = ModelRef(path=str(tmp_path)).pinned(first.identity)
    put(tmp_path, "shout", SHOUT, version=2)
    again = open_predictors(pickle.loads(pickle.dumps(ref)))
    opened.callback(again.close)
    assert again.identity == first.identity


@pytest.mark.parametrize("opens", [open_predictors, load_apart])
def test_a_model_that_raises_while_it_loads_is_told_with_its_line(
    tmp_path: Path, opens: Callable[[ModelRef, None], Predictors]
) -> None:
    put(tmp_path, "fails", FAILS)
    told = r"loading the model raised ValueError: boom \(model\.py:6\)$"
    with (
        pytest.raises(LoadFailed, match=told),
        contextlib.closing(opens(ModelRef(path=str(tmp_path)), None)) as model,
    ):
        assert model.signature


def test_a_load_apart_that_is_stopped_leaves_no_process(tmp_path: Path) -> None:
    put(tmp_path, "shout", SHOUT)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled, match="before it began"):
        load_apart(ModelRef(path=str(tmp_path)), None, stop)
    assert multiprocessing.active_children() == []


def test_what_is_loaded_apart_predicts_here(tmp_path: Path) -> None:
    put(tmp_path, "shout", SHOUT)
    ref = ModelRef(path=str(tmp_path))
    with (
        contextlib.closing(load_apart(ref, None)) as apart,
        contextlib.closing(open_predictors(ref)) as here,
        contextlib.closing(apart.open()) as copy,
    ):
        assert (apart.identity, apart.signature) == (here.identity, here.signature)
        (answer,) = copy.predict(texts("a")).outputs
        assert answer.array.tolist() == [b"A"]
