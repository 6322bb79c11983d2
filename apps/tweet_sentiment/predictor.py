"""Predictor: texts in, sentiments out; and the one that asks Penstock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from penstock import InvalidInput

Label = Literal["negative", "neutral", "positive"]
LABELS: tuple[Label, Label, Label] = ("negative", "neutral", "positive")
"""In the order of a prediction's scores."""


class Prediction(NamedTuple):
    """What the model says of one text.

    Attributes:
        label: position in ``LABELS``.
        scores: one probability per label, in that order; they sum to 1.
    """

    label: int
    scores: tuple[float, float, float]

    @property
    def score(self) -> float:
        """-1 (surely negative) to 1 (surely positive)."""
        return self.scores[2] - self.scores[0]


class Refusal(NamedTuple):
    """Why one text has no prediction.

    Attributes:
        reason: for people.
    """

    reason: str


class Predictor(Protocol):
    """Predicts sentiments.

    Attributes:
        model: the model's name.

    Concurrency: one event loop; any number of calls at once; never blocks it.
    """

    model: str

    @property
    def version(self) -> int:
        """The version that answers now.

        Raises:
            PenstockError: none is ready.
        """
        ...

    async def predict(self, texts: Sequence[str]) -> list[Prediction | Refusal]:
        """One answer per text, in order.

        Raises:
            PenstockError: no text could be answered: overloaded, not ready, out of time.
        """
        ...


class EmbeddedModels(Protocol):
    """What ``penstock.serving`` yields, as far as it is used here."""

    def version(self, model: str, /) -> int:
        """The newest version that is ready."""
        ...

    async def infer(self, model: str, /, **inputs: Any) -> dict[str, Any]:
        """Predict; one array per output."""
        ...


class PenstockPredictor:
    """Asks a model served inside this process.

    Each text is a request of its own: Penstock puts those that wait into one batch, and refuses a
    wrong one alone.

    Args:
        models: from ``penstock.serving``.
        model: its name there; takes ``text``, gives ``scores``.
        at_once: requests under way at a time.
    """

    def __init__(self, models: EmbeddedModels, model: str, *, at_once: int = 256) -> None:
        self.model = model
        self._models = models
        self._turns = asyncio.Semaphore(at_once)

    @property
    def version(self) -> int:
        """The version that answers now."""
        return self._models.version(self.model)

    async def predict(self, texts: Sequence[str]) -> list[Prediction | Refusal]:
        """One answer per text, in order."""
        if len(texts) == 1:
            return [await self._one(texts[0])]
        answers = await asyncio.gather(*(self._one(text) for text in texts), return_exceptions=True)
        return [_raised(answer) for answer in answers]

    async def _one(self, text: str) -> Prediction | Refusal:
        async with self._turns:
            try:
                outputs = await self._models.infer(self.model, text=[text])
            except InvalidInput as refusal:
                return Refusal(refusal.reason)
        negative, neutral, positive = outputs["scores"][0].tolist()
        scores = (negative, neutral, positive)
        return Prediction(scores.index(max(scores)), scores)


def _raised(answer: Prediction | Refusal | BaseException) -> Prediction | Refusal:
    if isinstance(answer, BaseException):
        raise answer
    return answer
