"""open_predictors: the model of a job, wherever it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from penstock.core.clock import SystemClock
from penstock.jobs.model_ref import ModelRef
from penstock.jobs.predictor import Predictors

if TYPE_CHECKING:
    from penstock.app.settings import Settings


def open_predictors(ref: ModelRef, settings: Settings | None = None) -> Predictors:
    """Find a model. It is loaded with the first copy that is opened, or when its signature is
    asked for.

    Args:
        ref: which.
        settings: how packages, downloads and workers are dealt with; None: as ``penstock serve``
            would find them, in ``penstock.yaml`` and the environment.

    Raises:
        ConfigError: the reference, or a setting, is wrong; there is no such model or version.
        LoadFailed: the model's files cannot be had.
        NotReady, NotFound: no server answers at the URL, or it has no such model.

    Concurrency: any thread but an event loop's; blocks.
    """
    ref.check("model")
    if ref.url is not None:
        from penstock.app.jobs.remote_predictors import RemotePredictors

        return RemotePredictors(ref)
    from penstock.app.jobs.find_model import find_model
    from penstock.app.jobs.local_predictors import LocalPredictors
    from penstock.app.load_settings import load_settings

    if settings is None:
        settings, _ = load_settings(config=None, environ=os.environ, flags={})
    clock = SystemClock()
    found = find_model(ref, settings, clock)
    return LocalPredictors(ref.path or "", found, settings, clock)
