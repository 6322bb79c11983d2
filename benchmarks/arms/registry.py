"""All arms of the tiny workload, in the order in which tables show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.arms.bentoml import BentoMl
from benchmarks.arms.echo import EchoGrpc, EchoRest
from benchmarks.arms.fastapi_uvicorn import FastApi
from benchmarks.arms.litserve import LitServe
from benchmarks.arms.mosec import Mosec
from benchmarks.arms.penstock import Penstock
from benchmarks.arms.triton import Triton

if TYPE_CHECKING:
    from benchmarks.arms.arm import Arm

ARMS: dict[str, type[Arm]] = {
    arm.label: arm
    for arm in (EchoRest, EchoGrpc, Penstock, Triton, Mosec, FastApi, LitServe, BentoMl)
}
