"""/openapi.json and /docs: the API described by itself, readable without a network or a token."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from litestar import Request, Response, get

from viesti.api.openapi.document import document_bytes
from viesti.api.openapi.page import reference_page
from viesti.api.services import services_of

_HEADERS = {
    "Cache-Control": "public, max-age=300",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@get("/openapi.json")
async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    server = services_of(request).settings.base_url
    return Response(document_bytes(server), media_type="application/json", headers=_HEADERS)


@get("/docs")
async def page(request: Request[Any, Any, Any]) -> Response[str]:
    """The reference, made from the document; it runs no script."""
    server = services_of(request).settings.base_url
    return Response(reference_page(server), media_type="text/html; charset=utf-8", headers=_HEADERS)


@get("/docs/reference.css")
async def style() -> Response[bytes]:
    return Response(_style(), media_type="text/css; charset=utf-8", headers=_HEADERS)


@cache
def _style() -> bytes:
    return (resources.files("viesti.api.openapi") / "pages" / "reference.css").read_bytes()


ROUTES = [openapi, page, style]
