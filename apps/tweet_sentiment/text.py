"""The canonical form of a text, and which texts are refused before a model is asked. Pure."""

from __future__ import annotations

import re
import unicodedata

from apps.tweet_sentiment.predictor import Refusal

MAX_TEXT_CHARS = 4_000
"""The longest text that is read: far more than a tweet of 280."""
_LINK = re.compile(r"https?://\S+|t\.co/\S+|@\w{1,15}", re.IGNORECASE)


def canonical(text: str) -> str:
    """The same text for the same question: NFC, outer blanks removed, line ends as one."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()


def refusal(text: str) -> Refusal | None:
    """Why a canonical text cannot be judged; None: it can."""
    if not text:
        return Refusal("the text is empty")
    if len(text) > MAX_TEXT_CHARS:
        return Refusal(f"the text has {len(text)} characters; at most {MAX_TEXT_CHARS} are read")
    try:
        text.encode()
    except UnicodeEncodeError:
        return Refusal("the text is not valid Unicode: it holds half a character")
    if not any(character.isprintable() and not character.isspace() for character in text):
        return Refusal("the text holds nothing that can be read")
    if not _LINK.sub("", text).strip():
        return Refusal("the text is only links or names: there is nothing to judge")
    return None
