"""What a model package costs, beside copying and hashing the same bytes, and beside compression.

Each round, in turn: copy the file (the floor of packing and unpacking), hash it (the floor of
comparing), pack it, unpack it the first time, unpack it again (what each load of a packaged
version pays), and read the head (what a scan pays). Once: what deflate makes of the tweet model
and of random float32 numbers.

Run: ``python -m benchmarks.packages [--rounds 5] [--mib 128]``
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import heading_fields
from benchmarks.places import RESULTS, ROOT
from penstock.repository.package_head import read_head
from penstock.repository.package_manifest import FORMAT, PackageManifest, content_digest
from penstock.repository.package_options import PackageOptions
from penstock.repository.package_store import unpack
from penstock.repository.package_write import list_files, write_package

_TWEET_MODEL = ROOT / "models" / "tweet-sentiment" / "1" / "model.onnx"
_MIB = 1024 * 1024
_HEADS = 100


def pack(source: Path, target: Path) -> None:
    """Make a package of one file, as ``penstock pack --no-check`` does."""
    sources = {"model.onnx": source}
    files = list_files(sources)
    manifest = PackageManifest(
        format=FORMAT,
        name="bench",
        version=1,
        runtime="onnx",
        entry="model.onnx",
        content_sha256=content_digest(files),
        files=files,
    )
    write_package(target, manifest, sources)


def heads(package: Path) -> None:
    """Read the head, again and again."""
    with package.open("rb") as file:
        for _ in range(_HEADS):
            file.seek(0)
            read_head(file, PackageOptions(), "bench")


def hash_whole(path: Path) -> None:
    """Hash a file."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def one_round(folder: Path, source: Path) -> dict[str, float]:
    """Seconds of each step, on files that the page cache holds."""
    package, cache = folder / "m.pst", folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    steps: dict[str, Callable[[], object]] = {
        "copy": lambda: shutil.copyfile(source, folder / "copy"),
        "sha256": lambda: hash_whole(source),
        "pack": lambda: pack(source, package),
        "unpack_first": lambda: unpack(package, cache, PackageOptions()),
        "unpack_again": lambda: unpack(package, cache, PackageOptions()),
        "heads": lambda: heads(package),
    }
    taken = {}
    for name, step in steps.items():
        started = time.perf_counter()
        step()
        taken[name] = time.perf_counter() - started
    return taken


def deflate(content: bytes) -> dict[str, float]:
    """What is left of some bytes, and how fast."""
    started = time.perf_counter()
    packed = zlib.compress(content)
    middle = time.perf_counter()
    zlib.decompress(packed)
    done = time.perf_counter()
    return {
        "left_ratio": len(packed) / len(content),
        "write_mb_per_s": len(content) / 1e6 / (middle - started),
        "read_mb_per_s": len(content) / 1e6 / (done - middle),
    }


def main() -> None:
    """Measure and write ``results/packages.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=128)
    options = parser.parse_args()
    heading = heading_fields("packages", "a package of one file of random bytes")
    with tempfile.TemporaryDirectory() as text:
        source = Path(text) / "model.onnx"
        source.write_bytes(os.urandom(options.mib * _MIB))
        rounds = [one_round(Path(text), source) for _ in range(options.rounds)]
    median_s = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    numbers = np.random.default_rng(0).standard_normal(4_000_000).astype(np.float32)
    document = {
        **heading,
        **vars(options),
        "median_s": median_s,
        "head_us": median_s["heads"] / _HEADS * 1e6,
        "deflate": {
            "tweet_model_int8": deflate(_TWEET_MODEL.read_bytes()),
            "random_fp32": deflate(numbers.tobytes()),
        },
        "all_rounds_s": rounds,
    }
    (RESULTS / "packages.json").write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps({k: document[k] for k in ("median_s", "head_us", "deflate")}, indent=1))


if __name__ == "__main__":
    main()
