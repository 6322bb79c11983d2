"""The parts of the mlflow runtime that need no framework."""
