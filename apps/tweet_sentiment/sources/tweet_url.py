"""A tweet's URL becomes its id. Nothing is ever fetched from a host that a user names."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

MAX_URL_CHARS = 2048
_HOSTS = frozenset(
    prefix + host for host in ("twitter.com", "x.com") for prefix in ("", "www.", "mobile.", "m.")
)
_TWEET = re.compile(
    r"/(?:(?:i/web|i|[A-Za-z0-9_]{1,15})/status(?:es)?)/([0-9]+)(?:/(?:photo|video)/[0-9]{1,2})?/?",
    re.ASCII,
)
_NO_ID = re.compile(r"/(?:i/web|i|[A-Za-z0-9_]{1,15})/status(?:es)?(?:/.*)?", re.ASCII)
_MAX_ID = 2**63 - 1


class NotATweetUrl(ValueError):
    """The text is no URL of a tweet; the message says why, for people."""


def parse_tweet_url(text: str) -> str:
    """The id in the URL of a tweet: decimal digits without leading zeros.

    Hosts of X and of Twitter, their mobile ones too; ``/<handle>/status/<id>``, ``/i/status/<id>``
    and ``/i/web/status/<id>``, with a photo or video behind it; any query and fragment (tracking
    parameters) are passed over.

    Raises:
        NotATweetUrl: anything else.
    """
    if len(text) > MAX_URL_CHARS:
        raise NotATweetUrl(f"the URL is longer than {MAX_URL_CHARS} characters")
    url = text.strip()
    if not url.isascii() or not url.isprintable() or "\\" in url or " " in url:
        raise NotATweetUrl("the URL holds characters that no tweet's URL holds")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as err:
        raise NotATweetUrl("this is not a URL") from err
    if parts.scheme not in ("https", "http"):
        raise NotATweetUrl("this is not a URL: it should begin with https://")
    if (parts.hostname or "") not in _HOSTS or "@" in parts.netloc or port is not None:
        raise NotATweetUrl("the URL should be on x.com or twitter.com")
    return _id(parts.path)


def _id(path: str) -> str:
    found = _TWEET.fullmatch(path)
    if found is None:
        if _NO_ID.fullmatch(path):
            raise NotATweetUrl("the URL has no tweet id: it should end in /status/<number>")
        raise NotATweetUrl("the URL is of a page, not of a tweet: .../status/<number> is missing")
    digits = found[1].lstrip("0")
    if not digits:
        raise NotATweetUrl("the tweet id is zero")
    if len(digits) > len(str(_MAX_ID)) or int(digits) > _MAX_ID:
        raise NotATweetUrl("the tweet id is too large: no tweet has more than 19 digits")
    return digits
