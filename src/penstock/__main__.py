"""The ``penstock`` command, and ``python -m penstock``."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line.

    Garbage collection is off while everything is imported: it would find nothing and cost time.
    A server turns it on when it is ready; other commands are soon over.
    """
    gc.disable()
    from penstock.app.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
