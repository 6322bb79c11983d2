"""A FastStream consumer that predicts each message by itself, with the same ONNX model.

``faststream_app.py MODEL FOLDER URL WORKERS``. With one worker the handler is a coroutine and
predicts on the event loop, the form of the documentation; with more it is a function, which
FastStream runs in threads.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import uvloop
from faststream import FastStream
from faststream.redis import RedisBroker, StreamSub

from models import MODELS

name, folder, url, workers = sys.argv[1:]
answer = MODELS[name](folder)
broker = RedisBroker(url, logger=None)
app = FastStream(broker, logger=logging.getLogger("quiet"))
source = StreamSub("in", group="g", consumer="c", last_id="0", max_records=256, polling_interval=10)


def predict(message: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of one record."""
    return {**answer([message])[0], "at": message["at"]}


async def predict_here(message: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of one record, on the event loop."""
    return predict(message)


handler = predict_here if int(workers) == 1 else predict
publish = broker.publisher(stream="out")
broker.subscriber(stream=source, max_workers=int(workers))(publish(handler))

if __name__ == "__main__":
    uvloop.run(app.run())
