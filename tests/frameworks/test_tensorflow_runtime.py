"""The ``tensorflow`` runtime with small models made here."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.tensor import Array, Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances, SignatureFields, TensorField
from tests.contract.runtime_contract import NoClient, RuntimeContract, artifact

pytest.importorskip("tensorflow")

from penstock.runtime.quiet_tensorflow import keras, tf
from penstock.runtime.tensorflow_runtime import (
    TensorflowExecutable,
    TensorflowRuntime,
)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")

TYPES = {
    DType.BOOL: tf.bool,
    DType.UINT8: tf.uint8,
    DType.UINT16: tf.uint16,
    DType.UINT32: tf.uint32,
    DType.UINT64: tf.uint64,
    DType.INT8: tf.int8,
    DType.INT16: tf.int16,
    DType.INT32: tf.int32,
    DType.INT64: tf.int64,
    DType.FP16: tf.float16,
    DType.FP32: tf.float32,
    DType.FP64: tf.float64,
    DType.BF16: tf.bfloat16,
    DType.BYTES: tf.string,
}
X = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
WEIGHTS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def save_identity(folder: Path, dtype: DType) -> Path:
    module = tf.Module()
    given = [tf.TensorSpec([None, 2], TYPES[dtype], "x")]
    module.same = tf.function(lambda x: {"y": tf.identity(x)}, given, autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.same)
    return folder / "saved_model.pb"


def save_classifier(folder: Path) -> Path:
    """A model with weights and two signatures."""
    module = tf.Module()
    module.weights = tf.Variable(WEIGHTS)
    given = [tf.TensorSpec([None, 4], tf.float32, "x")]

    def logits(x: Any) -> dict[str, Any]:
        return {"logits": x @ module.weights}

    def scores(x: Any) -> dict[str, Any]:
        return {"scores": tf.nn.softmax(x @ module.weights)}

    module.logits = tf.function(logits, given, autograph=False)
    module.scores = tf.function(scores, given, autograph=False)
    signatures = {"serving_default": module.scores, "logits": module.logits}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder / "saved_model.pb"


def save_keras(path: Path, *layers: Any) -> Path:
    keras.utils.set_random_seed(3)
    stack = [keras.Input((4,), name="x"), *layers, keras.layers.Dense(3, name="scores")]
    keras.Sequential(stack).save(path)
    return path


def load(path: Path, **manifest: Any) -> TensorflowExecutable:
    return TensorflowRuntime().load(artifact(path, "tensorflow", **manifest), NoClient())


def answer(executable: TensorflowExecutable, **inputs: Array) -> dict[str, Array]:
    tensors = [Tensor.from_array(name, array) for name, array in inputs.items()]
    return {t.name: t.array for t in executable.execute(tensors, {}).outputs}


def refused(path: Path, **manifest: Any) -> str:
    with pytest.raises(LoadFailed) as caught:
        load(path, **manifest)
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("'m' version 1")
    return caught.value.message


def names(executable: TensorflowExecutable) -> tuple[list[str], list[str]]:
    signature = executable.signature
    return [s.name for s in signature.inputs], [s.name for s in signature.outputs]


class TestSavedModel(RuntimeContract):
    runtime = TensorflowRuntime()

    def identity(self, folder: Path, dtype: DType) -> ArtifactRef:
        return artifact(save_identity(folder / "m", dtype), "tensorflow")

    def corrupt(self, folder: Path) -> ArtifactRef:
        (folder / "saved_model.pb").write_bytes(b"this is no SavedModel")
        return artifact(folder / "saved_model.pb", "tensorflow")

    def test_a_missing_artifact_is_load_failed(self, tmp_path: Path) -> None:
        message = refused(tmp_path / "gone" / "saved_model.pb")
        assert "copy the whole folder: saved_model.pb, variables/ and assets/" in message


class TestKeras:
    """The contract's tests of bad artifacts; the others are asked of a SavedModel."""

    runtime = TensorflowRuntime()
    load = RuntimeContract.load
    test_corrupt = RuntimeContract.test_a_corrupt_artifact_is_load_failed_and_may_be_tried_again
    test_missing = RuntimeContract.test_a_missing_artifact_is_load_failed

    def corrupt(self, folder: Path) -> ArtifactRef:
        (folder / "model.keras").write_bytes(b"this is no Keras file")
        return artifact(folder / "model.keras", "tensorflow")


async def test_a_saved_model_is_served(tmp_path: Path) -> None:
    save_classifier(tmp_path / "net" / "1")
    async with penstock.serving(tmp_path / "net") as models:
        got = await models.infer("net", x=X)
    theirs = tf.saved_model.load(str(tmp_path / "net" / "1")).signatures["serving_default"]
    np.testing.assert_allclose(got["scores"], theirs(x=tf.constant(X))["scores"], rtol=1e-6)


async def test_a_keras_file_is_served(tmp_path: Path) -> None:
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    path = save_keras(folder / "model.keras", keras.layers.Dropout(0.5))
    async with penstock.serving(tmp_path / "net") as models:
        got = await models.infer("net", x=X)
    theirs = keras.saving.load_model(path)(X, training=False)
    np.testing.assert_allclose(got["scores"], theirs, rtol=1e-6)


def test_a_signature_is_chosen_by_name(tmp_path: Path) -> None:
    path = save_classifier(tmp_path / "m")
    got = answer(load(path, runtime_options={"signature": "logits"}), x=X)
    np.testing.assert_allclose(got["logits"], X @ WEIGHTS, rtol=1e-5)
    message = refused(path, runtime_options={"signature": "score"})
    assert "the model has ['logits', 'serving_default'], got 'score'" in message


def test_a_saved_model_without_signatures(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"))
    message = refused(tmp_path / "m" / "saved_model.pb")
    assert "the SavedModel has no signatures: save it by model.export('OUT')" in message


def test_text_that_is_no_utf8_passes(tmp_path: Path) -> None:
    executable = load(save_identity(tmp_path / "m", DType.BYTES))
    for shape in ((2, 2), (0, 2)):
        text = object_array([b"\xff\x00", b"", b"a\x00", b"\xc3\xa9"][: shape[0] * 2])
        got = executable.execute((Tensor("x", DType.BYTES, text.reshape(shape)),), {})
        assert got.outputs == (Tensor("y", DType.BYTES, text.reshape(shape)),)


def test_keras_inputs_and_outputs_keep_their_names(tmp_path: Path) -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    total = keras.layers.Add(name="total")([a, b])
    rest = keras.layers.Subtract(name="rest")([a, b])
    keras.Model([b, a], [total, rest]).save(tmp_path / "list.keras")
    keras.Model({"a": a, "b": b}, {"sum": total, "minus": rest}).save(tmp_path / "dict.keras")
    x = np.ones((2, 2), np.float32)
    listed, mapped = load(tmp_path / "list.keras"), load(tmp_path / "dict.keras")
    assert sorted(names(listed)[0]) == sorted(names(mapped)[0]) == ["a", "b"]
    assert sorted(names(listed)[1]) == ["rest", "total"]
    assert sorted(names(mapped)[1]) == ["minus", "sum"]
    np.testing.assert_array_equal(answer(listed, a=3 * x, b=x)["rest"], 2 * x)
    np.testing.assert_array_equal(answer(mapped, a=3 * x, b=x)["minus"], 2 * x)


def test_the_model_is_traced_once(tmp_path: Path) -> None:
    executable = load(save_keras(tmp_path / "m.keras"))
    function = executable._function
    for rows in (1, 2, 3):
        answer(executable, x=X[:rows])
    assert executable._function is function
    assert isinstance(function, tf.types.experimental.ConcreteFunction)


def test_a_lambda_layer_is_refused_unless_trusted(tmp_path: Path) -> None:
    path = save_keras(tmp_path / "m.keras", keras.layers.Lambda(lambda x: x * 2, (4,)))
    message = refused(path)
    assert "m.keras is refused: a Lambda layer in it is Python code" in message
    assert "runtime_options.trust_lambdas: true" in message
    got = answer(load(path, runtime_options={"trust_lambdas": True}), x=X)
    np.testing.assert_allclose(got["scores"], keras.saving.load_model(path, safe_mode=False)(X))


def test_a_class_of_the_users(tmp_path: Path) -> None:
    class Own(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    path = save_keras(tmp_path / "m.keras", Own())
    message = refused(path)
    assert "m.keras holds the class 'Own', which is not Keras's: load it where" in message
    assert message.endswith("save it by model.export('OUT')")


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_a_model_that_says_no_shapes(tmp_path: Path) -> None:
    keras.Sequential([keras.layers.Dense(2)]).save(tmp_path / "m.keras")
    assert "the model says no shapes of its inputs" in refused(tmp_path / "m.keras")


def test_keras_on_another_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_keras(tmp_path / "m.keras")
    other = SimpleNamespace(backend=lambda: "jax")
    monkeypatch.setattr("penstock.runtime.keras_file.keras.backend", other)
    assert "this process's Keras computes on jax: set KERAS_BACKEND=tensorflow" in refused(path)


def test_a_number_of_dimensions_that_is_not_known(tmp_path: Path) -> None:
    module = tf.Module()
    given = [tf.TensorSpec(None, tf.float32, "x")]
    module.same = tf.function(lambda x: {"y": tf.identity(x)}, given, autograph=False)
    tf.saved_model.save(module, str(tmp_path), signatures=module.same)
    path = tmp_path / "saved_model.pb"
    assert "does not say how many dimensions 'x' has: declare it, signature: " in refused(path)
    fields = [(TensorField(name=n, datatype="FP32", shape=(-1, 4)),) for n in ("x", "y")]
    executable = load(path, signature=SignatureFields(inputs=fields[0], outputs=fields[1]))
    assert executable.signature.batched
    np.testing.assert_array_equal(answer(executable, x=X)["y"], X)


def test_an_output_that_is_no_dense_tensor(tmp_path: Path) -> None:
    module = tf.Module()
    given = [tf.TensorSpec([None], tf.string, "x")]
    module.cut = tf.function(lambda x: {"y": tf.constant(1j)}, given, autograph=False)
    tf.saved_model.save(module, str(tmp_path), signatures=module.cut)
    assert "expected a dense tensor of one of ['bfloat16'" in refused(tmp_path / "saved_model.pb")


def test_errors_leave_the_graph_out(tmp_path: Path) -> None:
    executable = load(save_classifier(tmp_path / "m"))
    with pytest.raises(RuntimeError) as caught:
        answer(executable, x=X[:, :3])
    assert str(caught.value).startswith("Matrix size-incompatible: In[0]: [3,3], In[1]: [4,3]")
    assert "node" not in str(caught.value)


@pytest.mark.parametrize("device", ["cuda", "cuda:99"])
def test_a_device_that_is_not_there(tmp_path: Path, device: str) -> None:
    path = save_classifier(tmp_path / "m")
    asked: dict[str, Any] = {"instances": Instances(device=device)}
    message = refused(path, **asked)
    assert f"device '{device}' was asked for, but this TensorFlow sees 0 GPUs; " in message
    fallen = load(path, runtime_options={"fallback_to_cpu": True}, **asked)
    assert answer(fallen, x=X)["scores"].shape == (3, 3)
    assert fallen.inline_safe


@pytest.mark.parametrize(
    "file",
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"],
)
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_damaged_saved_model(tmp_path: Path, file: str, is_gone: bool) -> None:
    path = save_classifier(tmp_path / "m")
    broken = tmp_path / "m" / file
    content = broken.read_bytes()
    broken.unlink()
    if not is_gone:
        broken.write_bytes(content[: len(content) // 2])
    assert "is no SavedModel TensorFlow" in refused(path)


def test_a_cut_keras_file(tmp_path: Path) -> None:
    path = save_keras(tmp_path / "m.keras")
    path.write_bytes(path.read_bytes()[:-50])
    assert "m.keras is cut off, or no file of Keras 3" in refused(path)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"signatures": "x"}, "signatures: unknown field, did you mean 'signature'?"),
        ({"trust_lambdas": "yes"}, "trust_lambdas: expected true or false, got text 'yes'"),
        ({"inter_op_threads": -1}, "inter_op_threads: expected a whole number >= 0, got -1"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    message = refused(tmp_path / "saved_model.pb", runtime_options=options)
    assert message == f"'m' version 1: runtime 'tensorflow': $.runtime_options.{text}"


PROCESS_SCRIPT = """
import logging, sys
from pathlib import Path
from penstock.repository.manifest import Instances
from penstock.runtime.tensorflow_runtime import TensorflowRuntime, tf
from tests.contract.runtime_contract import NoClient, artifact
logging.basicConfig(stream=sys.stdout, format="%(message)s")
for threads in (2, 2, 0, 3):
    instances = Instances(threads_per_instance=threads)
    options = {"inter_op_threads": 1}
    path = Path(sys.argv[1])
    ref = artifact(path, "tensorflow", instances=instances, runtime_options=options)
    TensorflowRuntime().load(ref, NoClient())
print(tf.config.threading.get_intra_op_parallelism_threads())
print(tf.config.threading.get_inter_op_parallelism_threads())
"""


def test_the_first_model_sets_the_process_threads_and_nothing_is_printed(tmp_path: Path) -> None:
    path = save_classifier(tmp_path / "m")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "KERAS_"))}
    ran = subprocess.run(
        [sys.executable, "-c", PROCESS_SCRIPT, str(path)],
        env={**env, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    # what its C++ says before it has read the level it should keep to, on some processors only
    early = ("WARNING: All log messages before absl::", "I0000 ")
    assert [line for line in ran.stderr.splitlines() if not line.startswith(early)] == []
    warning, intra, inter = ran.stdout.splitlines()
    assert warning == (
        "'m' version 1: threads_per_instance: 3 does not hold: TensorFlow's threads are the whole "
        "process's, and were set by what used it first, to 2 (0: its own choice)"
    )
    assert (intra, inter) == ("2", "1")
