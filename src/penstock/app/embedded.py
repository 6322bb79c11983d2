"""penstock.serving: the models of a repository inside a program of your own, without a socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock.app.build import Assembly, build
from penstock.app.load_settings import load_settings
from penstock.app.serve import first_of, let_go, load_initial
from penstock.core.deadline import Deadline
from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument, LoadFailed, NotFound, NotReady
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest
from penstock.core.signature import TensorSpec
from penstock.core.status import VersionState
from penstock.core.tensor import Array, Tensor, cast_values
from penstock.server.drain import drain
from penstock.telemetry.logs import LevelSwitch

if TYPE_CHECKING:
    from penstock.app.processes.member import Member
    from penstock.app.settings import Settings
    from penstock.server.control_api.traffic_control import TrafficControl
    from penstock.server.service import ModelService


class Models:
    """The models that ``penstock.serving`` serves. Use it on the event loop that opened it."""

    def __init__(self, assembly: Assembly) -> None:
        self._service = assembly.service

    @property
    def service(self) -> ModelService:
        """The operations beneath, for what has requests ready made."""
        return self._service

    async def infer(
        self,
        model: str,
        /,
        *,
        version: str | int = "",
        timeout_s: float | None = None,
        **inputs: Any,
    ) -> dict[str, Array]:
        """Predict. Concurrent calls are batched as the requests of a server are.

        Args:
            model: the model's name.
            version: a version number or label; "": the newest that is ready.
            timeout_s: how long the answer is worth waiting for, in seconds; None: the model's
                ``queue.default_timeout_s``.
            inputs: one array, or nested list, for each input, rows first; text as ``str`` or
                ``bytes``. An array is sent as it is; the numbers of a list become the datatype
                the model declares, where that keeps their kind.

        Returns:
            one array for each output; BYTES come as object arrays of ``bytes``.

        Raises:
            InvalidInput: a row is wrong; ``index`` tells which.
            InvalidArgument: the inputs do not fit the model's signature.
            NotFound, NotReady: no such model or version, or it does not serve now.
            Overloaded, DeadlineExceeded: its queue is full; there was no answer in time.
            ModelFailed: the model's own code raised.
        """
        deadline = None
        if timeout_s is not None:
            deadline = Deadline.after(timeout_s, self._service.clock.monotonic_ns())
        choice = VersionChoice.parse(str(version))
        if not all(hasattr(value, "dtype") for value in inputs.values()):
            await self._warm(model, choice, deadline)
        response = await self._service.infer(
            InferRequest(
                model=model,
                inputs=self._tensors(model, choice, inputs),
                choice=choice,
                deadline=deadline,
            )
        )
        return {tensor.name: tensor.array for tensor in response.outputs}

    async def _warm(self, model: str, choice: VersionChoice, deadline: Deadline | None) -> None:
        """Have a model loaded whose datatypes are needed to read lists."""
        with contextlib.suppress(NotFound, NotReady):  # the request will say so
            await self._service.warm(model, choice, deadline)

    def _tensors(
        self, model: str, choice: VersionChoice, inputs: Mapping[str, Any]
    ) -> tuple[Tensor, ...]:
        signature = None
        if not all(hasattr(value, "dtype") for value in inputs.values()):
            with contextlib.suppress(NotFound, NotReady):  # the request will say so
                signature = self._service.model(model, choice).signature
        return tuple(
            _tensor(name, value, None if signature is None else signature.input(name))
            for name, value in inputs.items()
        )

    def version(self, model: str, label: str = "") -> int:
        """The number of the version that answers now.

        Args:
            model: the model's name.
            label: of the version; "": the newest that is ready.

        Raises:
            NotFound, NotReady: there is none.
        """
        return self._service.model(model, VersionChoice.parse(label)).id.version

    async def traffic(self) -> TrafficControl:
        """Routes, rollouts and experiments of these models; gone with them, unless the setting
        ``control_store`` names a store.

        Raises:
            StoreError: there is no place for what they need.
        """
        return await self._service.traffic_control()


@asynccontextmanager
async def serving(
    *paths: str | os.PathLike[str], settings: Mapping[str, Any] | None = None
) -> AsyncIterator[Models]:
    """Serve models inside this program: the whole server, batching and swaps included, no sockets.

    ::

        async with penstock.serving("models") as models:
            outputs = await models.infer("digits", pixels=rows)

    Args:
        paths: files, folders and repositories, as for ``penstock serve``.
        settings: setting names and values, such as ``{"model_control": "none"}``; they win over
            ``penstock.yaml`` and the environment.

    Raises:
        ConfigError: a path or a setting is wrong.
        LoadFailed: a model could not be loaded; later versions that fail are logged and leave
            the ones that serve alone.
    """
    effective, _ = load_settings(
        config=None, environ=os.environ, flags=dict(settings or {}), flags_name="settings"
    )
    member: Member | None = None
    if effective.control_store:
        from penstock.app.processes.member import lone_member

        member = await lone_member(effective)
    try:
        where = [os.fspath(path) for path in paths]
        async with assembled(where, effective, member) as assembly:
            yield Models(assembly)
    finally:
        if member is not None:
            await member.leave()


@asynccontextmanager
async def assembled(
    paths: Sequence[str], settings: Settings, member: Member | None = None
) -> AsyncIterator[Assembly]:
    """The parts of a server without sockets whose models are loaded, as for ``serving``.

    Args:
        paths: files, folders and repositories.
        settings: everything else.
        member: what keeps the desired state; None: nothing does.

    Raises:
        ConfigError, LoadFailed: see ``serving``.
    """
    assembly = build(paths, settings, LevelSwitch())
    if member is not None:
        await member.begin(assembly, asyncio.Event())
    source = asyncio.create_task(assembly.source.run(assembly.control), name="penstock source")
    try:
        await asyncio.sleep(0)  # the source takes its first look
        if source.done():
            source.result()  # a path is wrong
        await first_of(load_initial(assembly, settings, member), source, asyncio.Event())
        _check_loaded(assembly)
        assembly.service.has_started = True
        yield assembly
    finally:
        assembly.service.is_draining = True
        await assembly.traffic.leave()
        await let_go([source], member)
        await drain(
            assembly.service,
            stop_accepting=(),
            timeout_s=settings.drain_timeout_s,
            is_silent=True,
            end_workers=assembly.end,
        )


def _tensor(name: str, value: Any, spec: TensorSpec | None) -> Tensor:
    try:
        array: Array = np.asarray(value)
        if spec is not None and spec.dtype not in (DType.BYTES, DType.BF16):
            converted = None if hasattr(value, "dtype") else cast_values(value, spec.dtype.numpy)
            array = array if converted is None else converted
    except ValueError as err:
        raise InvalidArgument(f"input '{name}': its rows differ in length: {err}") from err
    return Tensor.from_array(name, array)


def _check_loaded(assembly: Assembly) -> None:
    for status in assembly.service.manager.statuses():
        if status.state is VersionState.FAILED:
            raise LoadFailed(status.says())
