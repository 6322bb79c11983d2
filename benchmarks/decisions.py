"""The figures behind docs/decisions/0004: inline execution and gathering, each against without.

Run: ``python -m benchmarks.decisions [--rounds 5] [--duration 2]``; writes
``results/inline-{1,32,128}.json`` and ``results/gathering-{1,32,128}.json``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.compare import LINE
from benchmarks.places import ROOT

_MAIN = "from penstock.__main__ import main; main()"
_WITHOUT = {
    "inline": f"import penstock.scheduler.inline_policy as p; p.ENTER_NS = p.LEAVE_NS = 0; {_MAIN}",
    "gathering": (f"import penstock.scheduler.gathering as g; g.PAYS_FROM = 1e9; {_MAIN}"),
}


def main() -> int:
    """Measure each decision at 1, 32 and 128 connections.

    Returns:
        the number of comparisons that failed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=int, default=2)
    given = parser.parse_args()
    failed = 0
    for name, code in _WITHOUT.items():
        without = LINE.replace("{penstock}", f'{sys.executable} -c "{code}"')
        for connections in (1, 32, 128):
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "benchmarks.compare", "--b", without),
                    *("--rounds", str(given.rounds), "--duration", str(given.duration)),
                    *("--connections", str(connections), "--name", f"{name}-{connections}"),
                ],
                cwd=ROOT,
                check=False,
            )
            failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
