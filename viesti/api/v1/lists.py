"""``/lists``: lists of contacts, and who is on them. Ours: the contract names lists only inside
contacts and filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
from litestar import Request, Response, delete, get, post, put
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.body import decode_json, is_blank, require_json
from viesti.api.paging import read_paging, read_text
from viesti.api.respond import answer, ok, ok_page
from viesti.api.services import services_of
from viesti.domain.lists.models import ListInput, ListRow, list_view
from viesti.domain.lists.service import (
    add_members,
    create_list,
    delete_list,
    get_list,
    list_lists,
    remove_members,
    update_list,
)
from viesti.kit.clock import utc_now


class Members(msgspec.Struct):
    contacts: list[Any] = []


_LIST = msgspec.json.Decoder(ListInput)
_MEMBERS = msgspec.json.Decoder(Members)


@get("/lists")
async def list_(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    paging = read_paging(request.query_params)
    name = read_text(request.query_params, "name")
    page = await services_of(request).database.run(
        lambda conn: list_lists(conn, account, name, paging.offset, paging.limit)
    )
    return ok_page([list_view(row) for row in page.lists], paging, page.total_count)


@post("/lists", status_code=201)
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    require_json(request)
    given: ListInput = decode_json(await request.body(), _LIST)
    row = await services_of(request).database.run(
        lambda conn: create_list(conn, account, given, utc_now())
    )
    return ok(list_view(row), status=201)


@get("/lists/{list_id:str}")
async def fetch(request: Request[Any, Any, Any], list_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    row = await services_of(request).database.run(lambda conn: get_list(conn, account, list_id))
    return ok(list_view(row))


@put("/lists/{list_id:str}")
async def update(request: Request[Any, Any, Any], list_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    body = await request.body()
    given = ListInput()
    if not is_blank(body):
        require_json(request)
        given = decode_json(body, _LIST)

    def work(conn: psycopg.Connection) -> ListRow:
        return update_list(conn, account, list_id, given, utc_now())

    return ok(list_view(await services_of(request).database.run(work)))


@delete("/lists/{list_id:str}", status_code=200)
async def remove(request: Request[Any, Any, Any], list_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    await services_of(request).database.run(lambda conn: delete_list(conn, account, list_id))
    return answer({"success": True})


@post("/lists/{list_id:str}/contacts", status_code=200)
async def add(request: Request[Any, Any, Any], list_id: FromPath[str]) -> Response[bytes]:
    """``{"contacts": [ids]}``; the answer says how many were new."""
    account = caller_of(request).account_id
    given = await _read_members(request)
    return await _changed(
        request,
        "added",
        lambda conn: add_members(conn, account, list_id, given.contacts, utc_now()),
    )


@put("/lists/{list_id:str}/contacts/remove", status_code=200)
async def take_off(request: Request[Any, Any, Any], list_id: FromPath[str]) -> Response[bytes]:
    """``{"contacts": [ids]}``; the answer says how many were on it."""
    account = caller_of(request).account_id
    given = await _read_members(request)
    return await _changed(
        request, "removed", lambda conn: remove_members(conn, account, list_id, given.contacts)
    )


async def _read_members(request: Request[Any, Any, Any]) -> Members:
    require_json(request)
    return decode_json(await request.body(), _MEMBERS)


async def _changed(
    request: Request[Any, Any, Any], word: str, work: Callable[[psycopg.Connection], int]
) -> Response[bytes]:
    return ok({word: await services_of(request).database.run(work)})


ROUTES = [list_, create, fetch, update, remove, add, take_off]
