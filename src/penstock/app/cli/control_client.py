"""ControlClient: the command line's way to a server's routes and rollouts."""

from __future__ import annotations

import getpass

from penstock.app.cli.server_client import ServerClient
from penstock.app.rollout_client import RolloutClient
from penstock.server.control_api.actor import ACTOR_HEADER


class ControlClient(RolloutClient):
    """A RolloutClient that says who sits at the command line.

    Args:
        url: see ``ServerClient``.
        timeout_s: see ``ServerClient``.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        server = ServerClient(url, timeout_s)  # its messages name the options
        super().__init__(url, actor=actor(), timeout_s=timeout_s)
        self._server = server
        self.url = server.url


def actor_headers() -> dict[str, str]:
    """Who sits at the command line, for a request that changes something."""
    return {ACTOR_HEADER: actor()}


def actor() -> str:
    """The user's name, in letters that a header takes."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "command line"
    return name.encode("ascii", "replace").decode()
