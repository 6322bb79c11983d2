"""Frames that are larger than they may be."""

import socket

import pytest

from penstock.runtime.process.frame import PREFIX, BadFrame
from penstock.runtime.process.frame_reader import FrameReader


def test_a_body_beyond_the_limit_is_refused_before_it_comes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(PREFIX.pack(1, 0) + b"x" + PREFIX.pack(1, 1))
        reader = FrameReader(ours, max_body_bytes=0)
        frame = reader.read()
        assert frame is not None
        assert bytes(frame.head) == b"x"
        with pytest.raises(BadFrame, match=r"a frame of 1 \+ 1 bytes"):
            reader.read()
