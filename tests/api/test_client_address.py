"""Whose address counts behind proxies."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from litestar.connection import ASGIConnection

from viesti.api.client_address import client_address

TRUSTED = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def asked_from(peer: str | None, *forwarded: str) -> ASGIConnection[Any, Any, Any, Any]:
    scope: Any = {
        "type": "http",
        "client": (peer, 1234) if peer else None,
        "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
    }
    return ASGIConnection(scope)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        (None, ["198.51.100.1"], ""),
    ],
)
def test_only_what_trusted_proxies_added_is_believed(
    peer: str | None, forwarded: list[str], address: str
) -> None:
    assert client_address(asked_from(peer, *forwarded), TRUSTED) == address


def test_without_trusted_proxies_the_peer_counts() -> None:
    assert client_address(asked_from("10.0.0.1", "198.51.100.1"), ()) == "10.0.0.1"
