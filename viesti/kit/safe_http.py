"""The one outbound HTTP client: it never reaches into the network that the platform stands in.

Called by whoever posts to a URL that a tenant chose (webhooks, later media). Every address is
checked after it was resolved, and the connection goes to exactly the address that was checked,
so that a name cannot change its mind in between (DNS rebinding). Ranges: the IANA registries of
special-purpose addresses (RFC 6890) and OWASP's advice on SSRF.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import ipaddress
import re
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from viesti import __version__
from viesti.kit.errors import Invalid

TOTAL_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
MAX_URL_LENGTH = 2048
# Of an answer only so much is read: enough to show what a receiver complained about.
MAX_ANSWER_BYTES = 2048
# Shorter than the least that common servers keep an idle connection open for (2 s), so that a
# request rarely meets a connection that the other side is just closing.
_KEEP_ALIVE_S = 1.5
_DNS_CACHE_S = 10
_DNS_THREADS = 32

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# Gives the addresses of a host name as text; replaced where a test plays the name server.
Lookup = Callable[[str], Awaitable[list[str]]]

_FORBIDDEN_4 = tuple(
    ipaddress.IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Of IPv6 only the global unicast space is open; within it, what leads elsewhere is not:
# protocol assignments with Teredo, documentation, 6to4.
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_FORBIDDEN_6 = tuple(
    ipaddress.IPv6Network(net)
    for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16")
)
_LOOPBACK_4 = ipaddress.IPv4Network("127.0.0.0/8")
_LOOPBACK_6 = ipaddress.IPv6Address("::1")
# WHATWG URL, section "ends in a number": such a host is an address, however it is spelled.
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)\Z")
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+\Z")


class UnsafeUrl(Invalid):
    """A URL that is not called: malformed, of another scheme, or inside the private network."""


class Failure(enum.StrEnum):
    """Why a call got no answer."""

    ADDRESS = "address refused"
    DNS = "name not resolved"
    CONNECT = "no connection"
    TLS = "TLS failed"
    TIMEOUT = "timed out"
    BROKEN = "connection broken"


class CallFailed(Exception):
    """No answer came; ``reason`` says why, without anything of the request."""

    def __init__(self, reason: Failure) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side answered; ``body`` is cut at ``MAX_ANSWER_BYTES``."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_url(url: str, allow_private: bool = False) -> URL:
    """The parsed URL, path and query byte for byte; raises UnsafeUrl if it must not be called.

    Judges what the text shows: syntax, scheme, literal addresses. Names are judged by the
    client when it connects. ``allow_private`` lets the machine's own loopback pass.
    """
    if len(url) > MAX_URL_LENGTH:
        raise UnsafeUrl(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if not _VISIBLE_ASCII.match(url) or "\\" in url:
        raise UnsafeUrl("The URL must be ASCII without spaces; percent-encode the rest.")
    try:
        parsed = URL(url, encoded=True)
        host, port = parsed.raw_host, parsed.port
    except ValueError as error:
        raise UnsafeUrl("The URL cannot be read.") from error
    if parsed.scheme not in ("http", "https"):
        raise UnsafeUrl("The URL must begin with https:// or http://.")
    if not host or port == 0:
        raise UnsafeUrl("The URL names no host.")
    if parsed.raw_fragment:
        raise UnsafeUrl("The URL must not have a fragment.")
    _check_host(host, allow_private)
    return parsed


def _check_host(host: str, allow_private: bool) -> None:
    if "%" in host:
        raise UnsafeUrl("The URL's host must not carry a zone or an escape.")
    if ":" in host or _NUMBER.match(host.rstrip(".").rpartition(".")[2]):
        try:
            address = ipaddress.ip_address(host)
        except ValueError as error:
            raise UnsafeUrl("The URL's host is an oddly written address.") from error
        if not is_allowed(address, allow_private):
            raise UnsafeUrl("The URL leads to a private or special address.")
        return
    name = host.rstrip(".").lower()
    if (name == "localhost" or name.endswith(".localhost")) and not allow_private:
        raise UnsafeUrl("The URL leads to a private or special address.")


def is_allowed(address: IPAddress, allow_private: bool = False) -> bool:
    """Whether an outbound call may go to ``address``.

    ``allow_private`` opens the loopback addresses only: not their IPv6-mapped spellings, and
    no other range, since a cloud machine's metadata and a company's network lie there.
    """
    if isinstance(address, ipaddress.IPv4Address):
        if allow_private and address in _LOOPBACK_4:
            return True
        return not any(address in net for net in _FORBIDDEN_4)
    if address.scope_id is not None:
        return False
    if allow_private and address == _LOOPBACK_6:
        return True
    return address in _GLOBAL_6 and not any(address in net for net in _FORBIDDEN_6)


_checked = lru_cache(maxsize=4096)(check_url)


class _CheckingResolver(AbstractResolver):
    """Gives only addresses that may be called; one bad address spoils the whole name."""

    def __init__(self, lookup: Lookup | None, allow_private: bool) -> None:
        # Threads of its own: a name server that hangs must not stall the process's others.
        self._threads = ThreadPoolExecutor(_DNS_THREADS, thread_name_prefix="dns")
        self._lookup = lookup or self._ask_system
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._lookup(host)
        if not found:
            raise OSError("no address")
        results: list[ResolveResult] = []
        for text in found:
            address = ipaddress.ip_address(text)
            if not is_allowed(address, self._allow_private):
                raise UnsafeUrl("The name leads to a private or special address.")
            results.append(
                ResolveResult(
                    hostname=host,
                    host=text,
                    port=port,
                    family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        return results

    async def _ask_system(self, host: str) -> list[str]:
        infos = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: socket.getaddrinfo(
                host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            ),
        )
        return list(dict.fromkeys(str(info[4][0]) for info in infos))

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class SafeClient:
    """Posts to tenants' URLs; make it inside a running event loop and close it there.

    No redirects, no proxies or credentials from the environment, no cookies, no decompression.
    ``timeout_s`` bounds a whole call, ``connect_timeout_s`` the name look-up, the connection
    and the TLS handshake in it.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        timeout_s: float = TOTAL_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        lookup: Lookup | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolver = _CheckingResolver(lookup, allow_private)
        self._timeout_s = timeout_s
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                limit=0,  # callers bound how much is under way
                ttl_dns_cache=_DNS_CACHE_S,
                keepalive_timeout=_KEEP_ALIVE_S,
            ),
            timeout=aiohttp.ClientTimeout(
                total=timeout_s, connect=min(connect_timeout_s, timeout_s)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"viesti/{__version__}", "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
            read_bufsize=1 << 14,
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST ``body`` and return the answer, whatever its status; raises CallFailed."""
        try:
            target = _checked(url, self._allow_private)
            started = time.monotonic()
            async with self._session.post(
                target, data=body, headers=headers, allow_redirects=False
            ) as response:
                rest_s = self._timeout_s - (time.monotonic() - started)
                return Answer(
                    response.status, response.headers, await _read_start(response, rest_s)
                )
        except UnsafeUrl as error:
            raise CallFailed(Failure.ADDRESS) from error
        except aiohttp.ClientConnectorDNSError as error:
            raise CallFailed(Failure.DNS) from error
        except aiohttp.ClientSSLError as error:
            raise CallFailed(Failure.TLS) from error
        except TimeoutError as error:
            raise CallFailed(Failure.TIMEOUT) from error
        except aiohttp.ClientConnectorError as error:
            raise CallFailed(Failure.CONNECT) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed(Failure.BROKEN) from error

    async def close(self) -> None:
        await self._session.close()
        await self._resolver.close()


async def _read_start(response: aiohttp.ClientResponse, rest_s: float) -> bytes:
    """The first octets of the body; the status counts even if the body breaks off."""
    start = bytearray()
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with asyncio.timeout(rest_s):
            while len(start) < MAX_ANSWER_BYTES:
                chunk = await response.content.read(MAX_ANSWER_BYTES - len(start))
                if not chunk:
                    return bytes(start)
                start += chunk
    # More would come: drop the connection rather than read it all.
    response.close()
    return bytes(start)
