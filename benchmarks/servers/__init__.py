"""Programs that the arms start, each in its own interpreter and virtual environment."""
