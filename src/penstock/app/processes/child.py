"""A serving process: ``python -m penstock.app.processes.child FD``, started by the supervisor."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from penstock.core.errors import ConfigError, PenstockError

if TYPE_CHECKING:
    from penstock.app.processes.supervisor_link import SupervisorLink


def main() -> int:
    """Serve until the supervisor says otherwise; the exit status.

    Garbage collection is off until the server turns it on, as for the command line.
    """
    gc.disable()
    import uvloop

    return uvloop.run(_main(int(sys.argv[1])))


async def _main(fd: int) -> int:
    from penstock.app.processes.supervisor_link import SupervisorLink

    link = await SupervisorLink.open(fd)
    try:
        await _serve(link)
    except PenstockError as err:
        await link.failed(err)
        return 2 if isinstance(err, ConfigError) else 1
    finally:
        await link.close()
    return 0


async def _serve(link: SupervisorLink) -> None:
    import shutil
    import socket

    from penstock.app.processes.handover import settings_in
    from penstock.app.processes.member import supervised_member
    from penstock.app.serve import Doors, RunningServer, serve_on

    async def announce(server: RunningServer) -> None:
        import asyncio

        from penstock.app.cli.banner import print_banner

        await asyncio.to_thread(print_banner, server)

    told = await link.handover()
    settings = settings_in(told.settings)
    member = supervised_member(told, settings, link)
    with socket.socket(fileno=told.http_fd) as listening:
        listening.set_inheritable(False)
        listening.setblocking(False)
        doors = Doors(listening, told.grpc_port, are_shared=True)
        await serve_on(doors, told.paths, settings, announce, member)
    if link.is_lost:  # nobody else is left to do it
        shutil.rmtree(told.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
