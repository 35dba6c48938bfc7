"""The simulator's HTTP server: guards, the handset page and its files, and the control API.

While it listens on loopback it answers only to loopback names, so that no page of the web can
reach it by a name that resolves here, and it changes things only for JSON bodies, which a
foreign page cannot send without asking first.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from viesti.carriers.simulator.control import Control, answer
from viesti.carriers.simulator.live import LivePages
from viesti.kit.errors import Forbidden, Invalid, NotFound, UnsupportedMedia, ViestiError

if TYPE_CHECKING:
    from viesti.carriers.simulator.server import Simulator

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/": ("handsets.html", "text/html"),
    "/static/handsets.css": ("handsets.css", "text/css"),
    "/static/handsets.js": ("handsets.js", "text/javascript"),
    "/static/phone.js": ("phone.js", "text/javascript"),
    "/static/icon.svg": ("icon.svg", "image/svg+xml"),
}
_LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_STATUSES: dict[type[ViestiError], int] = {
    Invalid: 400,
    Forbidden: 403,
    NotFound: 404,
    UnsupportedMedia: 415,
}
_MAX_BODY_OCTETS = 256 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    def __init__(self, simulator: Simulator) -> None:
        control = Control(simulator)
        self._host = simulator.settings.http_host
        self._pages = LivePages(simulator.network, control)
        application = web.Application(middlewares=[self._guard], client_max_size=_MAX_BODY_OCTETS)
        for path in _FILES:
            application.router.add_get(path, self._file)
        application.router.add_get("/events", self._pages.serve)
        control.add_routes(application.router)
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=1.0
        )

    async def start(self, port: int) -> int:
        """Listen, and say on which port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        self._pages.stop()
        await self._runner.cleanup()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name, content_type = _FILES[request.path]
        return web.Response(
            body=(_STATIC / name).read_bytes(), content_type=content_type, charset="utf-8"
        )

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check(request)
            response = await handler(request)
        except ViestiError as error:
            status = _STATUSES.get(type(error), 500)
            response = answer({"error": {"code": error.code, "message": error.message}}, status)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _check(self, request: web.Request) -> None:
        if _is_loopback(self._host) and _name_of(request.host) not in _LOCAL_NAMES:
            raise Forbidden("this page is served to this machine only")
        if request.method in ("GET", "HEAD"):
            return
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise Forbidden("another site's page may not change anything here")
        if request.method != "DELETE" and request.content_type != "application/json":
            raise UnsupportedMedia("send JSON, with content-type application/json")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    """The name in a Host header, without port and brackets; "" if it is no such header."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
