"""The benchmarks: what their figures are made of."""
