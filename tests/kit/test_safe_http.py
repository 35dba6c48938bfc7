"""What the outbound client refuses, and that it connects only to what it checked."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from viesti.kit.safe_http import (
    MAX_ANSWER_BYTES,
    CallFailed,
    Failure,
    SafeClient,
    UnsafeUrl,
    check_url,
    is_allowed,
)

REFUSED = [
    "http://127.0.0.1/",
    "http://127.1.2.3/",
    "http://10.0.0.5/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://0/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1./",
    "http://8.8.8.8./",
    "http://010.8.8.8/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001::1]/",
    "http://[2001:db8::1]/",
    "http://[fc00::1]/",
    "http://[fd12:3456::1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://api.localhost/",
    "http://user@127.0.0.1/",
    "http://example.org@10.0.0.5/",
    "ftp://example.org/",
    "file:///etc/passwd",
    "gopher://example.org/",
    "javascript:alert(1)",
    "//example.org/",
    "example.org/hook",
    "",
    "http://",
    "http:///path",
    "http://:80/",
    "http://example.org:0/",
    "http://example.org:99999/",
    "http://example.org:abc/",
    "http://exa mple.org/",
    "http://example.org/\r\nX-Header: 1",
    "http://example.org\\@127.0.0.1/",
    "http://ex\u00e4mple.org/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://example.org/#fragment",
    "http://%31%32%37.0.0.1/",
    "http://[::1/",
    "http://[/",
    "http://example.org/" + "a" * 2048,
]


@pytest.mark.parametrize("url", REFUSED)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(UnsafeUrl):
        check_url(url)


@pytest.mark.parametrize("url", [url for url in REFUSED if "://127." in url or "[::1]/" in url])
def test_loopback_passes_only_by_exception_and_only_plainly_written(url: str) -> None:
    plain = {"http://127.0.0.1/", "http://127.1.2.3/", "http://[::1]/"}
    if url in plain:
        check_url(url, allow_private=True)
    else:
        with pytest.raises(UnsafeUrl):
            check_url(url, allow_private=True)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.5/", "http://169.254.169.254/", "http://[::ffff:127.0.0.1]/"]
)
def test_the_loopback_exception_opens_nothing_else(url: str) -> None:
    with pytest.raises(UnsafeUrl):
        check_url(url, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook?token=a%2Fb+c&x=%5B1%5D",
        "http://example.org:8080/",
        "https://user:password@example.org/hook",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://xn--exmple-cua.org/",
        "https://example.org/a%20b/?q=",
    ],
)
def test_urls_that_are_taken_stay_as_given(url: str) -> None:
    assert str(check_url(url)) == url


@given(st.integers(min_value=0, max_value=2**32 - 1))
def test_every_ipv4_address_that_is_not_global_is_refused(number: int) -> None:
    address = ipaddress.IPv4Address(number)
    if is_allowed(address):
        assert address.is_global
        assert not address.is_multicast
    mapped = ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
    assert not is_allowed(mapped)
    assert not is_allowed(mapped, allow_private=True)


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_every_ipv6_address_that_is_not_global_is_refused(number: int) -> None:
    address = ipaddress.IPv6Address(number)
    if is_allowed(address):
        assert address.is_global
        assert not address.is_multicast


# --- against a real listener --------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[tuple[int, list[str]]]:
    """The port of a server on 127.0.0.1, and the paths that it was asked for."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1], asked
    finally:
        await runner.cleanup()


async def _ok(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="fine")


@contextlib.asynccontextmanager
async def client_of(
    answers: list[list[str]] | None = None, *, allow_private: bool = False, timeout_s: float = 2.0
) -> AsyncIterator[SafeClient]:
    """A client whose name server gives ``answers`` in turn, the last for ever."""

    async def lookup(_host: str) -> list[str]:
        assert answers is not None
        return answers.pop(0) if len(answers) > 1 else answers[0]

    client = SafeClient(
        allow_private=allow_private,
        timeout_s=timeout_s,
        connect_timeout_s=1.0,
        lookup=lookup if answers is not None else None,
    )
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%lo"],
        ["10.0.0.5"],
        ["93.184.216.34", "127.0.0.1"],
    ],
)
async def test_a_name_that_leads_inside_is_refused_without_a_connection(
    addresses: list[str],
) -> None:
    async with serving(_ok) as (port, asked), client_of([addresses]) as client:
        with pytest.raises(CallFailed) as failed:
            await client.post(f"http://hook.example:{port}/", b"{}", {})
    assert failed.value.reason is Failure.ADDRESS
    assert asked == []


async def test_a_name_that_turns_private_between_two_calls_is_refused() -> None:
    # The first answer leads to a public address that nobody listens on here.
    answers = [["192.88.98.1"], ["127.0.0.1"]]
    async with serving(_ok) as (port, asked), client_of(answers, timeout_s=0.3) as client:
        for _ in range(2):
            with pytest.raises(CallFailed):
                await client.post(f"http://hook.example:{port}/", b"{}", {})
    assert asked == []


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """One look-up per connection: a second answer never comes into play."""
    answers = [["127.0.0.1"], ["10.0.0.5"]]
    async with serving(_ok) as (port, asked), client_of(answers, allow_private=True) as client:
        answer = await client.post(f"http://hook.example:{port}/a?b=%2F+c", b"{}", {})
        assert answer.status == 200
        assert answer.body == b"fine"
    assert asked == ["/a?b=%2F+c"]


async def test_the_machines_own_name_is_refused_unless_allowed() -> None:
    async with serving(_ok) as (port, asked):
        async with client_of() as client:
            with pytest.raises(CallFailed):
                await client.post(f"http://localhost:{port}/", b"{}", {})
        assert asked == []
        async with client_of(allow_private=True) as client:
            answer = await client.post(f"http://127.0.0.1:{port}/", b"{}", {})
            assert answer.status == 200


async def test_redirects_are_answers_and_not_followed() -> None:
    async def away(_request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://169.254.169.254/")

    async with serving(away) as (port, asked), client_of(allow_private=True) as client:
        answer = await client.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert answer.status == 302
    assert len(asked) == 1


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(_ok) as (proxy_port, through_proxy), serving(_ok) as (port, asked):
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy_port}")
        async with client_of(allow_private=True) as client:
            await client.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert through_proxy == []
    assert asked == ["/"]


async def test_an_answer_is_read_only_so_far() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65536)
        return response

    async with serving(endless) as (port, _), client_of(allow_private=True) as client:
        answer = await client.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert answer.status == 200
    assert len(answer.body) == MAX_ANSWER_BYTES


async def test_a_server_that_says_nothing_times_out() -> None:
    async def silent(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async with serving(silent) as (port, _), client_of(allow_private=True, timeout_s=0.2) as client:
        with pytest.raises(CallFailed) as failed:
            await client.post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert failed.value.reason is Failure.TIMEOUT


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "https://127.0.0.1:9/"])
async def test_a_refused_connection_is_named(url: str) -> None:
    async with client_of(allow_private=True) as client:
        with pytest.raises(CallFailed) as failed:
            await client.post(url, b"{}", {})
    assert failed.value.reason is Failure.CONNECT


async def test_a_plain_server_behind_https_is_a_failure() -> None:
    async with serving(_ok) as (port, _), client_of(allow_private=True) as client:
        with pytest.raises(CallFailed) as failed:
            await client.post(f"https://127.0.0.1:{port}/", b"{}", {})
    assert failed.value.reason in (Failure.TLS, Failure.CONNECT, Failure.BROKEN)
