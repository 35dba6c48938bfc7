"""Says before a server starts that its port is taken; called by ``serve`` and by the roles.

A server that shares its port (SO_REUSEPORT, as the API's does among its workers) would start
beside another one without a word, and each would get some of the requests.
"""

from __future__ import annotations

import errno
import socket

from viesti.kit.errors import Conflict


def check_port(host: str, port: int, variable: str) -> None:
    """Raises Conflict if ``port`` cannot be listened on; ``variable`` is the setting to change."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
    except OSError as error:
        advice = f"check the address, or set {variable} to another port"
        if error.errno == errno.EADDRINUSE:
            advice = f"end the program that uses it, or set {variable} to another"
        raise Conflict(
            f"Port {port} of {host} cannot be listened on ({error.strerror}): {advice}."
        ) from error
