"""All arms of `benchmarks.run`, in the order in which tables show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.arms.bentoml import BentoMl
from benchmarks.arms.echo import EchoGrpc, EchoRest
from benchmarks.arms.fastapi_uvicorn import FastApi
from benchmarks.arms.litserve import LitServe
from benchmarks.arms.mlserver import MlServer
from benchmarks.arms.mosec import Mosec
from benchmarks.arms.penstock import PenstockServe, PenstockTwo
from benchmarks.arms.ray_serve import RayServe
from benchmarks.arms.torchserve import TorchServe
from benchmarks.arms.triton import Triton

if TYPE_CHECKING:
    from benchmarks.arms.contender import Contender

ARMS: dict[str, type[Contender]] = {
    arm.label: arm
    for arm in (
        EchoRest,
        EchoGrpc,
        PenstockServe,
        PenstockTwo,
        Triton,
        Mosec,
        LitServe,
        BentoMl,
        MlServer,
        RayServe,
        TorchServe,
        FastApi,
    )
}
