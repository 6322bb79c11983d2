"""What is asked of every arm: one file for each workload, and `registry.WORKLOADS` by name."""
