"""Which device a model gets."""

from pathlib import Path

import pytest

from penstock.core.errors import LoadFailed
from penstock.repository.manifest import Instances
from penstock.runtime.device import choose_device
from tests.contract.runtime_contract import artifact


def choose(device: str, gpu_count: int, *, fallback_to_cpu: bool = False) -> str:
    ref = artifact(Path("model.pt"), "torch", instances=Instances(device=device))
    return choose_device(
        ref, framework="PyTorch", gpu_count=gpu_count, fallback_to_cpu=fallback_to_cpu
    )


@pytest.mark.parametrize(
    ("device", "gpu_count", "chosen"),
    [("cpu", 0, "cpu"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda:0"), ("cuda:1", 2, "cuda:1")],
)
def test_a_device_that_is_there(device: str, gpu_count: int, chosen: str) -> None:
    assert choose(device, gpu_count) == chosen
    assert choose(device, gpu_count, fallback_to_cpu=True) == chosen


@pytest.mark.parametrize(("device", "gpu_count"), [("cuda", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there(
    device: str, gpu_count: int, caplog: pytest.LogCaptureFixture
) -> None:
    missing = (
        f"'m' version 1: device '{device}' was asked for, but this PyTorch sees {gpu_count} GPUs"
    )
    with pytest.raises(LoadFailed) as caught:
        choose(device, gpu_count)
    assert caught.value.message.startswith(f"{missing}; say instances.device: cpu, or ")
    assert choose(device, gpu_count, fallback_to_cpu=True) == "cpu"
    assert f"{missing}; it computes on the CPU, as fallback_to_cpu says" in caplog.text
