"""Items style: one Python value per row, in and out.

penstock serve examples/shout.py
curl localhost:8080/v2/models/shout/infer -d '{"inputs": [
    {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["hello", "world"]}]}'
"""

from __future__ import annotations

from penstock import InvalidInput, Model


class Shout(Model):
    """Says everything louder."""

    def predict(self, text: list[str]) -> list[str]:
        """Upper-case each text; an empty one is refused without harm to the others."""
        for index, line in enumerate(text):
            if not line.strip():
                raise InvalidInput(index, "there is nothing to shout")
        return [line.upper() + "!" for line in text]
