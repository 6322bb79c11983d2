"""How many samples of the candidate each gate takes, if both versions are alike."""

from __future__ import annotations

from benchmarks.report import table
from penstock.evidence import samples

ALPHA = 0.05  # false_promotion, as it is by default
SHARES = (0.01, 0.05, 0.25, 0.5)


def needs() -> list[dict]:
    """Return a row for each gate and bound: the candidate's samples at each of SHARES."""
    rows = []
    for rate in (0.001, 0.01):
        for margin in (0.002, 0.005, 0.01):
            what = f"error_rate, both fail {rate:.1%}", f"max_increase {margin:g}"
            rows.append(_row(what, samples.for_rate_difference, rate, margin))
    for quantile in (0.5, 0.95, 0.99):
        for ratio in (1.3, 1.5, 2.0):
            what = f"latency, p{quantile * 100:g}", f"max_ratio {ratio:g}"
            rows.append(_row(what, samples.for_quantile_ratio, quantile, ratio))
    for classes in (2, 3, 10, 50):
        for distance in (0.05, 0.1):
            what = f"prediction_shift, {classes} classes", f"max_distance {distance:g}"
            rows.append(_row(what, samples.for_total_variation, classes, distance))
    for part in (0.05, 0.1, 0.2):
        what = "outcome", f"max_loss of {part:g} standard deviations"
        rows.append(_row(what, samples.for_mean_difference, 1.0, part))
    for rate in (0.99, 1.0):
        count = samples.for_rate(rate, 0.97, ALPHA)
        what = f"agreement, {rate:.0%} agree"
        rows.append({"gate": what, "bound": "min_rate 0.98, slack 0.01", "samples": [count]})
    return rows


def _row(what: tuple[str, str], count, *given: float) -> dict:
    counts = [count(*given, share, ALPHA) for share in SHARES]
    return {"gate": what[0], "bound": what[1], "samples": counts}


def needs_markdown(rows: list[dict]) -> str:
    """Return the table; agreement has no share, since every copy is compared with an answer."""
    head = ["gate", "bound", *(f"at {share:.0%}" for share in SHARES)]
    body = []
    for row in rows:
        cells = [f"{count:,}" if count < samples.MANY else "never" for count in row["samples"]]
        body.append([row["gate"], row["bound"], *(cells * (len(SHARES) // len(cells)))])
    return table(head, body) + "\n"
