"""Programs that make the models which the benchmarks serve."""
