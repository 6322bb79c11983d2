"""However the bytes of a connection are cut on their way, the answers are the same."""

from __future__ import annotations

import asyncio
import itertools

from hyperframe.frame import DataFrame, PingFrame, SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fault.http2_client import PREFACE, Answer, head, message
from tests.unit.server.grpc_http2.wire import Wire

bodies = st.lists(st.binary(max_size=40) | st.just(bytes(9000)), min_size=1, max_size=5)
cuts = st.lists(st.floats(0, 1), max_size=12)
frame_sizes = st.sampled_from([1, 4, 5, 6, 100, 16_000])


def _conversation(wire: Wire, bodies: list[bytes], frame_bytes: int, padding: int) -> bytes:
    frames = [SettingsFrame(0), PingFrame(0, opaque_data=b"12345678")]
    for number, body in enumerate(bodies):
        stream_id = 2 * number + 1
        path = "/t/Each" if number % 2 else "/t/Echo"
        data = message(body)
        step = max(frame_bytes, len(data) // 200 + 1)
        frames.append(wire.headers(stream_id, head(path)))
        for start in range(0, len(data), step):
            piece = DataFrame(stream_id, data[start : start + step])
            if padding:
                piece.flags.add("PADDED")
                piece.pad_length = padding
            frames.append(piece)
        frames.append(DataFrame(stream_id, b"", flags=["END_STREAM"]))
    return PREFACE + b"".join(frame.serialize() for frame in frames)


async def _answers(
    bodies: list[bytes], cuts: list[float], frame_bytes: int, padding: int
) -> dict[int, Answer]:
    wire = Wire()
    try:
        data = _conversation(wire, bodies, frame_bytes, padding)
        places = sorted({round(cut * len(data)) for cut in cuts} | {0, len(data)})
        for start, end in itertools.pairwise(places):
            wire.feed(data[start:end])
            await asyncio.sleep(0)
        return {2 * n + 1: await wire.answer(2 * n + 1) for n in range(len(bodies))}
    finally:
        await wire.close()


@settings(max_examples=60, deadline=None)
@given(bodies, cuts, frame_sizes, st.sampled_from([0, 0, 7]))
def test_any_cut_gives_the_same_answers(
    bodies: list[bytes], cuts: list[float], frame_bytes: int, padding: int
) -> None:
    answers = asyncio.run(_answers(bodies, cuts, frame_bytes, padding))
    for number, body in enumerate(bodies):
        answer = answers[2 * number + 1]
        assert answer.status == 0
        assert answer.body == (body * 2 if number % 2 else body)
