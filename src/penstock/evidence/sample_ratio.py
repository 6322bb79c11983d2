"""Whether requests reach the variants in the shares that they should."""

from __future__ import annotations

import math
from collections.abc import Mapping

CONCENTRATION = 1000.0
"""How near the shares are expected to those wanted, in requests' worth of it."""


def log_e_value(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """Log e-value against "each request falls to a variant with its share", at every look.

    Reject at level alpha above ln(1/alpha): requests are lost, retried, cached or assigned
    otherwise than planned for one of the variants, and a comparison of them means little.
    Multinomial with a Dirichlet mixture around the shares (Lindon and Malek 2022,
    "Anytime-valid inference for multinomial count data"). Exact for independent requests; where
    one key has many requests, count keys.

    Args:
        counts: requests of each variant.
        shares: what each should get, >= 0, in any unit; a variant that is missing gets none.

    Returns:
        0 without requests; infinity where a variant without a share has some.
    """
    whole, total = sum(shares.values()), sum(counts.values())
    if any(count and shares.get(name, 0.0) <= 0 for name, count in counts.items()):
        return math.inf
    log_e = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + total)
    for name, count in counts.items():
        if count:
            share = shares[name] / whole
            prior = CONCENTRATION * share
            log_e += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return log_e
