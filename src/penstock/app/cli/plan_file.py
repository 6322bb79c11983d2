"""A rollout's plan, from the file that the command line names."""

from __future__ import annotations

from penstock.app.cli.file_content import file_content
from penstock.rollout.spec import RolloutSpec
from penstock.rollout.spec_file import read_spec


def read_plan(file: str) -> RolloutSpec:
    """The plan; whether it can decide is for the caller to see.

    Raises:
        ConfigError: the file cannot be read, or holds no plan.
    """
    return read_spec(file_content(file), file)
