"""Peer: sentiment as the tutorials serve it: FastAPI, TorchScript fp32, one model call a request.

The endpoint is a plain `def`, so it runs on the framework's thread pool; torch keeps its default
of threads.
"""

import os

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoTokenizer

LABELS = ("negative", "neutral", "positive")


class Tweet(BaseModel):
    """One text."""

    text: str


class Sentiment(BaseModel):
    """The likeliest label and all three scores."""

    label: str
    scores: list[float]


app = FastAPI()
folder = os.environ["BENCH_MODEL"]
tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
model = torch.jit.load(f"{folder}/model.pt").eval()


@app.get("/readyz")
def readyz() -> str:
    """Say that the model is loaded."""
    return "ok"


@app.post("/predict")
def predict(tweet: Tweet) -> Sentiment:
    """Tokenise, run, answer."""
    given = tokenizer(tweet.text, truncation=True, max_length=128, return_tensors="pt")
    with torch.inference_mode():
        logits = model(given["input_ids"], given["attention_mask"])
        scores = torch.softmax(logits, dim=1)[0]
    return Sentiment(label=LABELS[int(scores.argmax())], scores=scores.tolist())
