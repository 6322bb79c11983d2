"""Every step from the network as trained to the one that is served, as a file and a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from onnx import TensorProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from tokenizers import Tokenizer

from apps.tweet_sentiment.training.encoder import TweetEncoder, pretrained
from apps.tweet_sentiment.training.engine import Answer, session
from apps.tweet_sentiment.training.export import export_fused, export_plain, to_bert
from apps.tweet_sentiment.training.shrink import calibrate, feed, to_int8, unpadded
from apps.tweet_sentiment.training.vocabulary import full, save


class Variant(NamedTuple):
    """One step.

    Attributes:
        name: what it is, for the table.
        path: its weights on disk.
        tokenizer: of its vocabulary, on disk.
        answer: from token ids to logits, on one thread.
    """

    name: str
    path: Path
    tokenizer: Path
    answer: Answer


class _Batches(CalibrationDataReader):
    """The library's way to ask for calibration data."""

    def __init__(self, tokens: list[list[int]]) -> None:
        self._batches = iter(list(unpadded(tokens)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch, None at the end."""
        return next(self._batches, None)


def with_all_pieces(model: TweetEncoder, tokenizer: Tokenizer) -> tuple[TweetEncoder, Tokenizer]:
    """Return the network with MiniLM's whole vocabulary: what was pruned is as it was there."""
    vocabulary = full()
    whole = pretrained(vocabulary.rows)
    own = tokenizer.get_vocab()
    known = [p for p in vocabulary.tokenizer.get_vocab() if p in own]
    at = torch.tensor([vocabulary.tokenizer.token_to_id(p) for p in known])
    words = whole.words.weight.detach().clone()
    words[at] = model.words.weight.detach()[torch.tensor([own[p] for p in known])]
    whole.load_state_dict(model.state_dict() | {"words.weight": words})
    return whole.eval(), vocabulary.tokenizer


def _torch(network: torch.nn.Module) -> Answer:
    def run(rows: list[list[int]]) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = network(*(torch.from_numpy(a) for a in feed(rows).values())).numpy()
        return found

    return run


def in_torch(model: TweetEncoder, tokenizer: Tokenizer, folder: Path) -> Iterator[Variant]:
    """Yield the network with its whole vocabulary: eager, TorchScript and plain ONNX."""
    whole, all_pieces = with_all_pieces(model, tokenizer)
    network = to_bert(whole)
    save(all_pieces, folder / "full.json")
    torch.save(network.state_dict(), folder / "eager.pt")
    yield Variant("PyTorch eager fp32", folder / "eager.pt", folder / "full.json", _torch(network))
    ids = torch.randint(5, 100, (2, 8))
    script = torch.jit.freeze(torch.jit.trace(network, (ids, torch.ones_like(ids))))
    torch.jit.save(script, folder / "script.pt")
    yield Variant("TorchScript fp32", folder / "script.pt", folder / "full.json", _torch(script))
    export_plain(whole, folder / "full.onnx")
    path = folder / "full.onnx"
    yield Variant("ONNX fp32", path, folder / "full.json", session(path))


def in_onnx(
    model: TweetEncoder, tokenizer: Tokenizer, tokens: list[list[int]], folder: Path
) -> Iterator[Variant]:
    """Yield what pruning, fusing and int8 make of it; ``tokens`` are to calibrate on."""
    pieces = folder / "pruned.json"
    save(tokenizer, pieces)
    plain, fused, apart = (folder / f"{name}.onnx" for name in ("plain", "fused", "apart"))
    steps: list[tuple[str, Path, Callable[[Path], object]]] = [
        ("vocabulary pruned", plain, lambda path: export_plain(model, path)),
        ("fused by the library", fused, lambda path: export_fused(plain, path)),
        ("fused, sums apart", apart, lambda path: export_fused(plain, path, apart=True)),
        ("library's dynamic int8", folder / "libdynamic.onnx", lambda p: _dynamic(fused, p)),
        ("library's static int8", folder / "libstatic.onnx", lambda p: _static(apart, p, tokens)),
        ("int8 dynamic", folder / "int8-dynamic.onnx", lambda p: to_int8(apart, p, None)),
    ]
    steps += [
        (
            f"int8 static, {method}",
            folder / f"int8-{method}.onnx",
            lambda p, method=method: to_int8(apart, p, calibrate(apart, tokens, method)),
        )
        for method in ("percentile", "error", "minmax")
    ]
    for name, path, make in steps:
        make(path)
        yield Variant(name, path, pieces, session(path))


def _dynamic(source: Path, path: Path) -> None:
    quantize_dynamic(
        source,
        path,
        op_types_to_quantize=["MatMul", "Attention", "Gather"],
        per_channel=True,
        reduce_range=False,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
    )


def _static(source: Path, path: Path, tokens: list[list[int]]) -> None:
    quantize_static(
        source,
        path,
        _Batches(tokens),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Gather"],
        per_channel=True,
        reduce_range=False,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={
            "MatMulConstBOnly": True,
            "OpTypesToExcludeOutputQuantization": ["MatMul"],
            "DefaultTensorType": TensorProto.FLOAT,
        },
    )
