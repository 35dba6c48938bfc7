"""``/imports/{importId}``: how far a large contact file is, and taking back the rest of it."""

from __future__ import annotations

from typing import Any

import psycopg
from litestar import Request, Response, get, post
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.respond import ok
from viesti.api.services import services_of
from viesti.domain.imports.models import Import
from viesti.domain.imports.queries import get_import, list_refused
from viesti.domain.imports.views import import_view
from viesti.domain.imports.work import cancel_import
from viesti.kit.clock import utc_now


@get("/imports/{import_id:str}")
async def fetch(request: Request[Any, Any, Any], import_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id

    def work(conn: psycopg.Connection) -> dict[str, Any]:
        return show_import(conn, get_import(conn, account, import_id))

    return ok(await services_of(request).database.run(work))


@post("/imports/{import_id:str}/cancel", status_code=200)
async def cancel(request: Request[Any, Any, Any], import_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id

    def work(conn: psycopg.Connection) -> dict[str, Any]:
        cancel_import(conn, get_import(conn, account, import_id), utc_now())
        return show_import(conn, get_import(conn, account, import_id))

    return ok(await services_of(request).database.run(work))


def show_import(conn: psycopg.Connection, row: Import) -> dict[str, Any]:
    """The import with its refused rows."""
    return import_view(row, list_refused(conn, row.account_id, row.id))


ROUTES = [fetch, cancel]
