"""Turns every failure into the contract's error envelope; the only place that knows HTTP status.

The codes, their statuses and meanings are the catalogue in ``kit/codes.py``. What nobody
expected is answered as GEN-500 with the request's id, and logged under that id.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from viesti.api.request_id import request_id_of, route_of
from viesti.kit.codes import CATALOGUE, describe
from viesti.kit.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    ViestiError,
)

__all__ = ["CATALOGUE", "HANDLERS", "envelope", "status_of"]

log = structlog.get_logger()

_BY_BRANCH: tuple[tuple[type[ViestiError], int], ...] = (
    (Invalid, 400),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (TooLarge, 413),
    (UnsupportedMedia, 415),
    (RateLimited, 429),
    (Unavailable, 503),
)
# What the framework finds wrong before a handler runs.
_BY_STATUS = {
    400: "GEN-400",
    401: "GEN-401",
    403: "GEN-403",
    404: "GEN-404",
    405: "GEN-405",
    413: "GEN-413",
    415: "GEN-415",
    429: "GEN-429",
    503: "GEN-503",
}
_encode = msgspec.json.Encoder().encode


def status_of(error: ViestiError) -> int:
    """The HTTP status of ``error``: its code's, unless that stands inside answers of 200."""
    info = CATALOGUE.get(error.code)
    if info is not None and info.status >= HTTPStatus.BAD_REQUEST:
        return info.status
    return next((status for kind, status in _BY_BRANCH if isinstance(error, kind)), 500)


def envelope(code: str, message: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """``details`` say for programs what the message says for people, such as line and column."""
    return {"success": False, "error": {**(details or {}), "code": code, "message": message}}


def _answer(
    status: int,
    code: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Response[bytes]:
    return Response(
        _encode(envelope(code, message, details)),
        status_code=status,
        media_type="application/json",
        headers=dict(headers or {}),
    )


def _on_viesti_error(request: Request[Any, Any, Any], error: ViestiError) -> Response[bytes]:
    status = status_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    elif status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="viesti"'
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request_refused", request_id=request_id_of(request.scope), code=error.code)
    return _answer(status, error.code, error.message, headers, error.details)


def _on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if "disconnected" in error.detail:
        return _answer(400, "GEN-400", "The request ended before its body did.")
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _on_surprise(request, error)
    status = error.status_code
    code = _BY_STATUS.get(status, "GEN-400")
    headers = {
        name: value
        for name, value in (error.headers or {}).items()
        if name.lower() in ("allow", "retry-after")
    }
    return _answer(status, code, describe(code), headers)


def _on_surprise(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    # The places alone: an exception's own text may quote a number, a text or a secret.
    frames = traceback.extract_tb(error.__traceback__)
    log.error(
        "request_failed",
        request_id=request_id_of(request.scope),
        method=request.method,
        route=route_of(request.scope),
        error=type(error).__name__,
        frames=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-12:]],
    )
    return _answer(500, "GEN-500", describe("GEN-500"))


HANDLERS: dict[int | type[Exception], Any] = {
    ViestiError: _on_viesti_error,
    HTTPException: _on_http_error,
    Exception: _on_surprise,
}
