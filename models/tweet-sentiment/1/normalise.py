"""Rewrite a tweet into the words the model was trained on.

Pure and idempotent, standard library only. Training and serving both import this file, so that
they cannot drift apart; it is versioned with the weights, and changing it means a new version.
"""

# ruff: noqa: RUF001 (signs as people write them)

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache

EMOTICONS = {
    "smile": (":)", ":-)", ":))", "=)", "(:", ":]", "=]", ":3", "^^", "^_^", "^-^", "c:"),
    "grin": (":D", ":-D", "=D", ";D"),
    "sad": (":(", ":-(", ":((", "=(", "):", ":[", "D:"),
    "wink": (";)", ";-)", ";))"),
    "crying": (":'(", ":’(", ":,(", "T_T", ";_;"),
    "laughing": ("xD", "XD", ":')", ":’)"),
    "kiss": (":*", ":-*"),
    "playful": (":P", ":-P", ":p", ":-p", ";P", ";p", "=P", "=p", "XP", "xP"),
    "annoyed": (":/", ":-/", ":\\", ":-\\", "=/", ":|", ":-|", "-_-", "-__-", "-.-"),
    "surprised": (":O", ":-O", ":o", ":-o"),
    "love": ("<3", "<33", "<333"),
    "heartbroken": ("</3",),
}
"""Words the vocabulary has, and the emoticons they stand for."""

EMOJI = {
    "laughing": "😂🤣😆😹😅",
    "crying": "😭😢😿🥺",
    "love": "❤😍🥰😘💕💖💗💙💚💛💜🖤💘💞💓💝♥💟🤍🤎🧡😻",
    "smile": "😊🙂☺😌😇🤗😺",
    "grin": "😁😀😃😄😸",
    "wink": "😉",
    "sad": "😔😞😟☹🙁😥😓😪😰😣😖😧😦😨",
    "angry": "😡😠🤬👿😤💢",
    "annoyed": "😒😑🙄😐😕😏🤨😶🖕",
    "kiss": "😚😙😗💋",
    "playful": "😜😝😛😋🤪",
    "heartbroken": "💔",
    "surprised": "😱😲😮😯😳🤯😵",
    "tired": "😩😫😴🥱",
    "sick": "🤢🤮🤒😷🤕",
    "thinking": "🤔",
    "cool": "😎🆒",
    "applause": "👏🙌",
    "pray": "🙏",
    "good": "👍👌✅✔💯",
    "bad": "👎❌",
    "strong": "💪",
    "fire": "🔥",
    "party": "🎉🎊🥳🎈🎂",
    "star": "⭐🌟✨💫",
    "monkey": "🙈🙉🙊",
    "dead": "💀☠⚰",
    "disgusting": "💩",
}
"""Words for the usual emoji; any other picture is read by its Unicode name."""

_WORD_OF_EMOTICON = {sign: word for word, signs in EMOTICONS.items() for sign in signs}
_WORD_OF_EMOJI = {sign: word for word, signs in EMOJI.items() for sign in signs}
_DROPPED = {"\u200d", "\ufe0f", "\ufe0e", "\u20e3"}

_LINK = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
_MENTION = re.compile(r"(?<![\w@])@\w+")
_USERS = re.compile(r"@user(?:\s+@user)+")
_EMOTICON = re.compile(
    r"(?<![A-Za-z0-9:])(?:"
    + "|".join(re.escape(sign) for sign in sorted(_WORD_OF_EMOTICON, key=len, reverse=True))
    + r")(?![A-Za-z0-9/])|(?<=[a-z!.?]):[)(](?!\w)"
)
_HASHTAG = re.compile(r"#(\w+)")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])")
_LONG = re.compile(r"([A-Za-z])\1{2,}")
_MARKS = re.compile(r"([!?])\1{2,}")
_DOTS = re.compile(r"\.{2,}")
_QUOTES = re.compile(r"\\*\"{2,}|\\+\"")
_PICTURE = re.compile(r"[\u20e3\u2190-\u2bff\u3030\u303d\u200d\ufe0e\ufe0f\U0001f000-\U0001faff]")
_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-"})


def normalise(text: str) -> str:
    """Return the tweet with links as ``http``, names as ``@user`` and pictures as words.

    Hashtags are split at capitals (``#LoveThis`` becomes ``# Love This``), letters repeated three
    times or more are cut to two, runs of marks shortened. Case is kept: the tokenizer lowers it.

    Law: ``normalise(normalise(text)) == normalise(text)``; no line breaks, no double spaces.
    """
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _PICTURE.sub(_named, text)).translate(_PLAIN)
    text = _LINK.sub(" http ", text)
    if "@" in text:
        text = _USERS.sub("@user", _MENTION.sub("@user", text))
    text = _EMOTICON.sub(_worded, text)
    if "#" in text:
        text = _HASHTAG.sub(_split, text)
    text = _LONG.sub(r"\1\1", text)
    text = _MARKS.sub(r"\1\1", text)
    text = _QUOTES.sub('"', _DOTS.sub("…", text))
    return " ".join(text.split())


def _worded(match: re.Match[str]) -> str:
    return f" {_WORD_OF_EMOTICON[match.group()]} "


def _split(match: re.Match[str]) -> str:
    return f"# {_CAMEL.sub(' ', match.group(1).replace('_', ' '))}"


@lru_cache(maxsize=4096)
def _name(sign: str) -> str:
    word = _WORD_OF_EMOJI.get(sign)
    if word is not None or sign in _DROPPED or "\U0001f1e6" <= sign <= "\U0001f1ff":
        return word or ""
    if "\U0001f3fb" <= sign <= "\U0001f3ff":
        return ""
    return unicodedata.name(sign, "").lower()


def _named(match: re.Match[str]) -> str:
    name = _name(match.group())
    return f" {name} " if name else ""
