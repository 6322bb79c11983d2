"""stub"""


def predict() -> None:
    """Stub."""
