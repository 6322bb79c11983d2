"""An A/B experiment of two versions of a model, whose outcomes come late.

Users send pictures of digits; which digit it really was is told later, in files, the last one
after the experiment has been stopped. Needs a plain install of Penstock with the extra ``onnx``.
Exits with 0 if the better version was found.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from examples.digits.server import serving

HERE = Path(__file__).parent
DIGITS = HERE.parents[1] / "models" / "digits"
HELD_OUT = HERE.parent / "digits" / "held_out.npz"
USERS_AT_ONCE, ROUNDS, PICTURES_EACH = 300, 4, 2
PENSTOCK = [sys.executable, "-m", "penstock", "experiment"]


def main() -> int:
    """Run the experiment; returns the exit status."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving([DIGITS], ["digits/versions/stable", "digits/versions/canary"]) as (url, _),
    ):
        _run("start", str(HERE / "experiment.yaml"), url=url)
        late: list[dict[str, Any]] = []
        for turn in range(ROUNDS):
            outcomes = _ask(url, first_user=turn * USERS_AT_ONCE)
            half = len(outcomes) // 2
            _tell(Path(folder), [*late, *outcomes[:half]], url)
            late = outcomes[half:]
            print(f"after {(turn + 1) * USERS_AT_ONCE} users, half of the last outcomes told:")
            print(f"  {_sentence(url)}\n")
        _run("stop", "digits", "--keep", "bigger", "--why", "it reads more digits right", url=url)
        _tell(Path(folder), late, url)
        print("stopped; the last outcomes came after that, and count:\n")
        print(_run("status", "digits", url=url))
        return 0 if "'bigger' is better than 'control'" in _sentence(url) else 1


def _ask(url: str, first_user: int) -> list[dict[str, Any]]:
    """Let users ask for their pictures; what people will say of the answers."""
    with np.load(HELD_OUT) as held_out:
        pixels, truth = held_out["pixels"].astype("<f4"), held_out["labels"]
    chance = np.random.default_rng(first_user)
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    outcomes = []
    for user in range(first_user, first_user + USERS_AT_ONCE):
        for picture in chance.integers(0, len(truth), PICTURES_EACH):
            prediction_id, label = _predict(connection, f"user-{user}", pixels[picture])
            right = bool(label == truth[picture])
            outcome = {"prediction_id": prediction_id, "metric": "right", "value": right}
            outcomes.append({**outcome, "at_ms": int(time.time() * 1000)})
    connection.close()
    return outcomes


def _predict(
    connection: http.client.HTTPConnection, user: str, pixels: np.ndarray
) -> tuple[str, int]:
    """One request of a user: the id to tell its outcome by, and the digit that was read."""
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, 64]}
    body = json.dumps({"inputs": [tensor | {"data": pixels.ravel().tolist()}]})
    connection.request("POST", "/v2/models/digits/infer", body, {"X-User-ID": user})
    reply = json.loads(connection.getresponse().read())
    outputs = {output["name"]: output["data"] for output in reply["outputs"]}
    return reply["parameters"]["prediction_id"], outputs["label"][0]


def _tell(folder: Path, outcomes: list[dict[str, Any]], url: str) -> None:
    """Tell outcomes as a nightly job would: from a file of JSON Lines."""
    file = folder / "outcomes.jsonl"
    file.write_text("".join(f"{json.dumps(outcome)}\n" for outcome in outcomes))
    print(_run("outcomes", str(file), url=url), end="")


def _sentence(url: str) -> str:
    return str(json.loads(_run("status", "digits", "--json", url=url))["sentence"])


def _run(*args: str, url: str) -> str:
    """Run ``penstock experiment``."""
    command = [*PENSTOCK, *args, "--url", url]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
