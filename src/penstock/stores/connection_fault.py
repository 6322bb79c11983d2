"""Why a connection to a store's server could not be made or kept, for those who may not know where
it is.
"""

from __future__ import annotations

import os
import socket
import ssl

from penstock.core.causes import causes_of


def connection_fault(err: BaseException) -> str:
    """What the operating system, the resolver or TLS says of an error, and nothing else of it.

    Returns:
        a few words without an address; "": the error is of another kind.
    """
    for cause in causes_of(err):
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {(cause.reason or 'error').lower().replace('_', ' ')}"
        if isinstance(cause, socket.gaierror):
            return cause.strerror or "its name is not known"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    return ""
