"""Image classification, without torchvision: as the library's own pipeline answers."""

import io
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import penstock
from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput
from penstock.core.tensor import Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import Executable, ExecuteResult
from tests.contract.runtime_contract import RuntimeContractCore, artifact
from tests.frameworks.huggingface_models import (
    HuggingFaceRuntime,
    change,
    load,
    output,
    pipeline,
    refused,
    torch,
    transformers,
)

LABELS = ["cat", "dog", "bird"]


def saved(folder: Path, **processor: Any) -> Path:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(7)
    config = transformers.ViTConfig(
        image_size=32,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=1.0,
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessorPil(**{"size": size} | processor).save_pretrained(folder)
    return folder / "config.json"


def picture(seed: int, width: int = 50, height: int = 40) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def images(*items: bytes) -> Tensor:
    return Tensor("image", DType.BYTES, object_array(list(items)))


def see(executable: Executable, *items: bytes) -> ExecuteResult:
    return executable.execute((images(*items),), {})


class TestContract(RuntimeContractCore):
    runtime = HuggingFaceRuntime()

    def example(self, folder: Path) -> ArtifactRef:
        return artifact(saved(folder), "huggingface")

    def inputs(self, executable: Executable, rows: int) -> tuple[Tensor, ...]:
        return (images(*(encoded(picture(row)) for row in range(rows))),)

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = saved(folder)
        (folder / "model.safetensors").write_bytes(b"these are no weights")
        return artifact(path, "huggingface")


def test_scores_are_those_of_transformers(tmp_path: Path) -> None:
    executable = load(saved(tmp_path))
    assert executable.signature.outputs[1].labels == tuple(LABELS)
    pictures = [picture(1), picture(2, 300, 20), picture(3).convert("L"), picture(4).convert("P")]
    result = see(executable, *(encoded(image) for image in pictures))
    processor = transformers.ViTImageProcessorPil.from_pretrained(tmp_path)
    reference = pipeline("image-classification", tmp_path, image_processor=processor)
    for row, image in enumerate(pictures):
        answer = reference(image)
        wanted = {item["label"]: item["score"] for item in answer}
        np.testing.assert_allclose(
            output(result, "scores")[row], [wanted[name] for name in LABELS], atol=1e-5
        )
        assert output(result, "label")[row].decode() == answer[0]["label"]
    assert np.unique(output(result, "scores").round(4)).size > 6


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP"])
def test_formats(tmp_path: Path, kind: str) -> None:
    result = see(load(saved(tmp_path)), encoded(picture(1), kind))
    assert output(result, "scores").shape == (1, 3)


def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    executable = load(saved(tmp_path))
    image = picture(1, 64, 32)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right
    turned = see(executable, encoded(image, exif=exif), encoded(image.rotate(-90, expand=True)))
    first, second = output(turned, "scores")
    np.testing.assert_allclose(first, second, rtol=1e-5)
    assert not np.allclose(first, output(see(executable, encoded(image)), "scores")[0])


def test_pixels_instead_of_pictures(tmp_path: Path) -> None:
    executable = load(saved(tmp_path))
    spec = executable.signature.inputs[1]
    assert (spec.name, spec.shape, spec.optional) == ("pixel_values", (-1, 3, 32, 32), True)
    processor = transformers.ViTImageProcessorPil.from_pretrained(tmp_path)
    made = processor(images=[picture(1), picture(2)], return_tensors="np")["pixel_values"]
    pixels = Tensor("pixel_values", DType.FP32, made.astype(np.float32))
    pixels.array.flags.writeable = False  # as a view of bytes that came
    direct = executable.execute((pixels,), {})
    decoded = see(executable, encoded(picture(1)), encoded(picture(2)))
    np.testing.assert_allclose(output(direct, "scores"), output(decoded, "scores"), rtol=1e-5)
    with pytest.raises(InvalidInput, match="got both"):
        executable.execute((images(encoded(picture(1))), pixels.rows(0, 1)), {})


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 60000 pixels wide and high."""
    size = (60_000).to_bytes(4, "big") * 2
    head = b"IHDR" + size + bytes([8, 2, 0, 0, 0])
    chunk = (13).to_bytes(4, "big") + head + zlib.crc32(head).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk + encoded(picture(1))[33:]


BROKEN_PNG = encoded(picture(1)).replace(b"IDAT", b"IDxT")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (b"", "got 0 bytes: of no format that Pillow knows"),
        (b"this is no picture", "got 18 bytes: of no format that Pillow knows"),
        (encoded(picture(1))[:-200], "expected a picture file"),
        (BROKEN_PNG, "expected a picture file"),
        (bomb(), "expected a picture file"),
    ],
    ids=["empty", "text", "cut", "broken", "bomb"],
)
def test_a_bad_picture_is_refused_alone(tmp_path: Path, item: bytes, text: str) -> None:
    executable = load(saved(tmp_path))
    result = see(executable, encoded(picture(1)), item, encoded(picture(2)))
    assert list(result.invalid) == [1]
    assert text in result.invalid[1].reason
    assert "\n" not in result.invalid[1].reason
    alone = see(executable, encoded(picture(1)), encoded(picture(2)))
    np.testing.assert_allclose(output(result, "scores"), output(alone, "scores"), rtol=1e-5)
    assert see(executable, item).outputs == ()


def test_older_names_of_processors(tmp_path: Path) -> None:
    path = saved(tmp_path)
    wanted = output(see(load(path), encoded(picture(1))), "scores")
    config = tmp_path / "preprocessor_config.json"
    for name in ("ViTFeatureExtractor", "ViTImageProcessorFast"):
        change(config, image_processor_type=name)
        np.testing.assert_array_equal(
            output(see(load(path), encoded(picture(1))), "scores"), wanted
        )


@pytest.mark.parametrize("name", ["TimmWrapperImageProcessor", "", "os"])
def test_a_processor_that_is_not_served(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path)
    change(tmp_path / "preprocessor_config.json", image_processor_type=name)
    assert "preprocessor_config.json asks for " in refused(path)


def test_no_processor(tmp_path: Path) -> None:
    path = saved(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    assert refused(path) == (
        "'m' version 1: there is no preprocessor_config.json with the model: save it beside it"
    )


def test_a_processor_of_another_models_size(tmp_path: Path) -> None:
    path = saved(tmp_path, size={"height": 48, "width": 48})
    assert "the model does not take the pictures that its preprocessor_config.json makes" in (
        refused(path)
    )


def test_wrong_options(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert "$.runtime_options.max_length: unknown field" in refused(
        path, runtime_options={"max_length": 5}
    )
    assert "expected 3 labels" in refused(path, runtime_options={"labels": ["a"]})


def test_without_pillow_the_command_that_brings_it_is_named(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['PIL'] = None\n"
        "from pathlib import Path\n"
        "from tests.frameworks.huggingface_models import refused\n"
        "print(refused(Path(sys.argv[1])))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(saved(tmp_path))],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert "pip install 'penstock[huggingface,image]'" in ran.stdout, ran.stderr


async def test_it_is_served(tmp_path: Path) -> None:
    saved(tmp_path / "animals" / "1")
    async with penstock.serving(tmp_path) as models:
        answer = await models.infer("animals", image=[encoded(picture(1)), encoded(picture(2))])
        with pytest.raises(InvalidInput, match="expected a picture file"):
            await models.infer("animals", image=[b"no picture"])
    assert answer["scores"].shape == (2, 3)
    assert json.loads((tmp_path / "animals/1/config.json").read_text())["id2label"]["0"] == "cat"
