"""The ``penstock`` command, and ``python -m penstock``."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line.

    Garbage collection is off while everything is imported, which saves a tenth of the start
    (benchmarks/startup.py); a server turns it on when it is ready, other commands are soon over.
    """
    gc.disable()
    from penstock.app.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
