"""A model of a job loaded in a process of its own: where it ends that, the job says so."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING

from penstock.app.jobs.predictors import open_predictors
from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.core.signature import ModelSignature
from penstock.jobs.batch.process_of_one_answer import answer_apart
from penstock.jobs.model_ref import ModelRef
from penstock.jobs.predictor import ModelIdentity, Predictor, Predictors

if TYPE_CHECKING:
    from penstock.app.settings import Settings


class LoadedApart:
    """``jobs.Predictors`` whose signature another process has told; nothing is loaded here before
    a copy is opened.

    Args:
        here: the same model in this process; it is closed with this.
        signature: what it takes and gives.
    """

    def __init__(self, here: Predictors, signature: ModelSignature) -> None:
        self._here = here
        self.signature = signature

    @property
    def identity(self) -> ModelIdentity:
        """See ``jobs.Predictors``."""
        return self._here.identity

    def open(self) -> Predictor:
        """See ``jobs.Predictors``."""
        return self._here.open()

    def close(self) -> None:
        """See ``jobs.Predictors``."""
        self._here.close()


def load_apart(
    ref: ModelRef, settings: Settings | None, stop: threading.Event | None = None
) -> Predictors:
    """See ``open_predictors``; a model of this machine is loaded once, in a process that ends then.

    Args:
        ref: which.
        settings: see ``open_predictors``.
        stop: ends the waiting.

    Raises:
        LoadFailed: it does not load; or its process ended while it did, with what status.
        Cancelled: it was stopped.
        PenstockError: see ``open_predictors``.

    Concurrency: any thread but an event loop's; blocks.
    """
    here = open_predictors(ref, settings)
    if ref.url is not None:  # a server has loaded it
        return here
    with contextlib.ExitStack() as opened:
        opened.callback(here.close)
        signature = _told_of(here.identity, ref, settings, stop or threading.Event())
        opened.pop_all()
    return LoadedApart(here, signature)


def _told_of(
    model: ModelIdentity, ref: ModelRef, settings: Settings | None, stop: threading.Event
) -> ModelSignature:
    def ended(how: str) -> LoadFailed:
        return LoadFailed(
            f"{ServableId(model.name, model.version)}: the process that loaded the model {how}; "
            "mend what ends it (an exit in its code, a crash of a library, too little memory), "
            "then run the job again"
        )

    work = partial(_signature, ref.pinned(model), settings)
    return answer_apart(work, stop, ended, name="penstock-job-load")


def _signature(ref: ModelRef, settings: Settings | None) -> ModelSignature:
    with contextlib.closing(open_predictors(ref, settings)) as predictors:
        return predictors.signature
