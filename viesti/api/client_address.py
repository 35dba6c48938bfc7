"""The address that a request came from, past the proxies that the operator trusts."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from litestar.connection import ASGIConnection

from viesti.kit.config import Network


def client_address(
    connection: ASGIConnection[Any, Any, Any, Any], trusted: Sequence[Network]
) -> str:
    """The peer, or, while that is a trusted proxy, whom it forwards for.

    X-Forwarded-For is read from its end: what an untrusted client wrote stands before what the
    proxies added.
    """
    address = connection.client.host if connection.client else ""
    if not trusted or not _is_trusted(address, trusted):
        return address
    forwarded = ",".join(connection.headers.getall("x-forwarded-for", []))
    for hop in reversed([part.strip() for part in forwarded.split(",")]):
        if not _is_address(hop):
            break
        address = hop
        if not _is_trusted(hop, trusted):
            break
    return address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in trusted)
