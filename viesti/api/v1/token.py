"""``POST /oauth2/token`` (RFC 6749 section 4.4) and the keys that tokens are checked with."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qsl, unquote_plus

import msgspec
import psycopg
from litestar import Request, Response, get, post

from viesti.api.auth import BadClient, address_of
from viesti.api.body import without_mark
from viesti.api.errors import status_of
from viesti.api.respond import answer
from viesti.api.services import services_of
from viesti.domain.accounts.keys import ensure_signing_key, load_jwks
from viesti.kit.clock import utc_now
from viesti.kit.errors import Invalid, RateLimited, ViestiError

GRANT = "client_credentials"
# RFC 6749 section 5.1: the answer must not be kept.
_NOT_KEPT = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_MULTIPART = "multipart/form-data"
_MAX_OCTETS = 64 * 1024
_decode = msgspec.json.Decoder().decode


class BadGrant(Invalid):
    """The grant_type is another than client credentials."""


@post(["/oauth2/token", "/v1/oauth2/token"], status_code=200, request_max_body_size=_MAX_OCTETS)
async def token(request: Request[Any, Any, Any]) -> Response[bytes]:
    """A token in OAuth2's own form; extra fields such as scope and audience are ignored."""
    services = services_of(request)
    basic = _read_basic(request)
    try:
        fields = await _read_fields(request)
        grant = fields.get("grant_type", "")
        if not grant:
            raise Invalid("Give grant_type: client_credentials.")
        if grant != GRANT:
            raise BadGrant("The only grant_type is client_credentials.")
        client_id, secret = basic or (fields.get("client_id", ""), fields.get("client_secret", ""))
        signed = await services.authenticator.sign_in(
            client_id, secret, address_of(request, services.settings)
        )
    except (Invalid, BadClient, RateLimited) as error:
        return _refusal(error, basic_was_used=basic is not None)
    return answer(
        {
            "access_token": signed,
            "token_type": "Bearer",
            "expires_in": services.settings.token_ttl_s,
        },
        headers=_NOT_KEPT,
    )


@get("/.well-known/jwks.json")
async def jwks(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The public keys (RFC 7517)."""
    services = services_of(request)

    def work(conn: psycopg.Connection) -> dict[str, Any]:
        ensure_signing_key(conn, services.platform_key, utc_now())
        return load_jwks(conn, utc_now())

    keys = await services.database.run(work)
    return answer(keys, headers={"Cache-Control": "public, max-age=60"})


def _refusal(error: ViestiError, *, basic_was_used: bool) -> Response[bytes]:
    """OAuth2's error (RFC 6749 section 5.2), with our error object beside it."""
    headers = dict(_NOT_KEPT)
    if isinstance(error, BadClient):
        word = "invalid_client"
        if basic_was_used:
            headers["WWW-Authenticate"] = 'Basic realm="viesti"'
    elif isinstance(error, BadGrant):
        word = "unsupported_grant_type"
    elif isinstance(error, RateLimited):
        # RFC 6749 has no word for it; this one is RFC 8628's (section 3.5).
        word = "slow_down"
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    else:
        word = "invalid_request"
    body = {
        "error": word,
        "error_description": error.message,
        "success": False,
        "errorObject": {"code": error.code, "message": error.message},
    }
    return answer(body, status=status_of(error), headers=headers)


def _read_basic(request: Request[Any, Any, Any]) -> tuple[str, str] | None:
    """Client id and secret of HTTP Basic; None where it is not used or cannot be read."""
    scheme, _, encoded = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ("", "")
    client_id, _, secret = text.partition(":")
    # RFC 6749 section 2.3.1: both are form-encoded first.
    return unquote_plus(client_id), unquote_plus(secret)


async def _read_fields(request: Request[Any, Any, Any]) -> Mapping[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _MULTIPART:
        form = await request.form()
        return {name: value for name, value in form.items() if isinstance(value, str)}
    # Told by its first mark, not by what it says it is: curl calls any body a form.
    body = without_mark(await request.body())
    if not body.lstrip().startswith(b"{"):
        try:
            return dict(parse_qsl(body.decode(), max_num_fields=50))
        except ValueError as error:
            raise Invalid("The form cannot be read.") from error
    try:
        document = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("The body is neither JSON nor a form.") from error
    return {
        name: value
        for name, value in cast("dict[str, Any]", document).items()
        if isinstance(value, str)
    }


ROUTES = [token, jwks]
