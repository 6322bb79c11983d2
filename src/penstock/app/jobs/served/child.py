"""A job's process: ``python -m penstock.app.jobs.served.child``, started by the server.

It hears from its server on standard input, and ends with it, however that died; it says once on
standard output what became of the job.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import BinaryIO

import msgspec

from penstock.app.jobs.served.job_messages import Told


def main() -> None:
    """Do the job; the process ends here."""
    said = _take_stdout()
    told = msgspec.json.decode(sys.stdin.buffer.readline(), type=Told)
    from penstock.app.jobs.served.step_back import step_back
    from penstock.app.processes.handover import settings_in

    settings = settings_in(told.settings)
    step_back(settings.jobs.niceness, settings.jobs.cpu_share)
    cancel = threading.Event()
    threading.Thread(target=_listen, args=[cancel], name="penstock-job-listen", daemon=True).start()
    from penstock.app.jobs.served.job_run import run_served

    outcome = run_served(told, settings, cancel)
    said.write(msgspec.json.encode(outcome) + b"\n")
    said.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a thread that the model left behind keeps nobody waiting


def _take_stdout() -> BinaryIO:
    """Standard output for ourselves; what a model prints goes where errors go."""
    ours = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return ours


def _listen(cancel: threading.Event) -> None:
    for _ in sys.stdin.buffer:
        cancel.set()
    os._exit(1)  # the server is gone: nothing is lost, and the job is to be free


if __name__ == "__main__":
    import signal

    for number in (signal.SIGINT, signal.SIGTERM):  # a group's signal is the server's; it ends us
        signal.signal(number, signal.SIG_IGN)
    main()
