"""The engines of `benchmarks.runtimes`: one file for each runtime, named `RUNTIME_engine.py`.

Each has `make(version)`, which saves a model of a few milliseconds per batch into the folder of a
version and returns how to run it bare. A missing framework is an ImportError.
"""
