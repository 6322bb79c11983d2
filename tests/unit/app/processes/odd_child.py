"""A serving process that does not behave; how, is the first of the paths it should serve."""

from __future__ import annotations

import socket
import sys

import msgspec

from penstock.app.processes.handover import Failed, Handover, Pong, ToProcess, Up, line


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    lines = channel.makefile("rb")
    told = msgspec.json.decode(lines.readline(), type=ToProcess)
    assert isinstance(told, Handover)
    (manner,) = told.paths
    if manner == "babbles":
        channel.sendall(b"x" * 200_000 + b"\n{}\n")
        channel.sendall(line(Failed("ConfigError", "the real error")))
        return
    channel.sendall(line(Up()))
    if manner == "mute":
        while lines.readline():
            """Hear everything, and say nothing."""
    for _ in range(20):
        lines.readline()
        channel.sendall(line(Pong()))


if __name__ == "__main__":
    main()
