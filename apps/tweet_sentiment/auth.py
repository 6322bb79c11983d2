"""Guard: HTTP Basic for the superuser, compared in constant time, with few attempts."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections import OrderedDict, deque
from collections.abc import Callable

MAX_FAILURES = 5
WINDOW_S = 60.0
_MAX_ADDRESSES = 10_000


class Guard:
    """Knows the superuser and who guessed wrong lately.

    Args:
        user, password: the superuser's; an empty password opens for nobody.
        now: the monotonic clock, in seconds.
    """

    def __init__(
        self, user: str, password: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._user = user.encode()
        self._password = password.encode()
        self._now = now
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long an address must wait before it may try, in seconds; 0: it may."""
        failures = self._failures.get(address)
        if failures is None:
            return 0.0
        while failures and failures[0] <= self._now() - WINDOW_S:
            failures.popleft()
        return failures[0] + WINDOW_S - self._now() if len(failures) >= MAX_FAILURES else 0.0

    def admits(self, authorization: str | None, address: str) -> bool:
        """Whether this is the superuser; a wrong guess is remembered, no credential is not."""
        if authorization is None:
            return False
        user, password = _credentials(authorization)
        right_user = hmac.compare_digest(user, self._user)
        right_password = hmac.compare_digest(password, self._password)
        if right_user and right_password and self._password:
            self._failures.pop(address, None)
            return True
        self._failures.setdefault(address, deque(maxlen=MAX_FAILURES)).append(self._now())
        self._failures.move_to_end(address)
        if len(self._failures) > _MAX_ADDRESSES:
            self._failures.popitem(last=False)
        return False


def _credentials(authorization: str) -> tuple[bytes, bytes]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        user, _, password = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return user, password
