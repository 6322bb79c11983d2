"""The control API: operations, answers, bad input."""
