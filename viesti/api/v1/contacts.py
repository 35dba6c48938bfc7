"""``/contacts``: create, list, fetch, update, delete."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import psycopg
from anyio import to_thread
from litestar import Request, Response, delete, get, post, put
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.body import BULK_OCTETS, MAX_BULK_OCTETS, decode_json, is_blank, require_json
from viesti.api.paging import Query, read_paging, read_text
from viesti.api.respond import answer, ok, ok_page
from viesti.api.services import services_of
from viesti.domain.accounts.models import Profile
from viesti.domain.contacts.models import ContactInput, MergeStrategy
from viesti.domain.contacts.queries import (
    ContactFilter,
    get_contact,
    list_contacts,
)
from viesti.domain.contacts.service import (
    RefusedContact,
    create_contacts,
    delete_contact,
    update_contact,
)
from viesti.domain.contacts.tags import find_hidden_tags
from viesti.domain.contacts.upsert import ContactRow
from viesti.domain.contacts.views import contact_view, refused_view
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import utc_now
from viesti.kit.errors import Invalid

_ONE_OR_MORE: msgspec.json.Decoder[ContactInput | list[ContactInput]] = msgspec.json.Decoder(
    ContactInput | list[ContactInput]
)
_ONE_OR_NONE: msgspec.json.Decoder[ContactInput | list[ContactInput] | None] = msgspec.json.Decoder(
    ContactInput | list[ContactInput] | None
)


@get("/contacts")
async def list_(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    query: Query = request.query_params
    paging = read_paging(query)
    narrow = ContactFilter(
        first_name=read_text(query, "firstName"),
        last_name=read_text(query, "lastName"),
        email=read_text(query, "email"),
        mobile=read_text(query, "mobile"),
        tags=_read_tags(query),
    )

    def work(conn: psycopg.Connection) -> tuple[list[dict[str, Any]], int]:
        page = list_contacts(conn, account, narrow, paging.offset, paging.limit)
        return _views(conn, account, page.contacts), page.total_count

    data, total = await services_of(request).database.run(work)
    return ok_page(data, paging, total)


@post("/contacts", status_code=201, request_max_body_size=MAX_BULK_OCTETS)
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    caller = caller_of(request)
    strategy = _read_strategy(request.query_params)
    require_json(request)
    body = await request.body()
    bulk = len(body) > BULK_OCTETS
    given: ContactInput | list[ContactInput] = (
        await to_thread.run_sync(decode_json, body, _ONE_OR_MORE)
        if bulk
        else decode_json(body, _ONE_OR_MORE)
    )
    contacts = given if isinstance(given, list) else [given]

    def work(conn: psycopg.Connection) -> tuple[list[dict[str, Any]], bool]:
        created = create_contacts(conn, caller.account_id, contacts, strategy, utc_now())
        stored = [row for row in created.results if isinstance(row, ContactRow)]
        hidden = find_hidden_tags(conn, caller.account_id, stored)
        views = [
            contact_view(result, hidden)
            if isinstance(result, ContactRow)
            else _refused_view(given, result)
            for given, result in zip(contacts, created.results, strict=True)
        ]
        return views, created.has_events

    services = services_of(request)
    data, has_events = await services.database.run(work, bulk=bulk)
    if has_events:
        services.waker.wake(WEBHOOKS_CHANNEL)
    if caller.profile is Profile.LIVE and not isinstance(given, list):
        return ok(data[0], status=201)
    shown: dict[str, Any] = {
        "success": True,
        "data": data,
        "pagination": {
            "offset": 0,
            "limit": len(data),
            "totalCount": len(data),
            "hasNext": False,
        },
    }
    refused = [view for view in data if not view["valid"]]
    if refused:
        shown["invalid"] = refused
    return answer(shown, status=201)


@get("/contacts/{contact_id:str}")
async def fetch(request: Request[Any, Any, Any], contact_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id

    def work(conn: psycopg.Connection) -> dict[str, Any]:
        return _views(conn, account, [get_contact(conn, account, contact_id)])[0]

    return ok(await services_of(request).database.run(work))


@put("/contacts/{contact_id:str}")
async def update(request: Request[Any, Any, Any], contact_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    body = await request.body()
    given = ContactInput()
    if not is_blank(body):
        require_json(request)
        # Generated clients put null, and PHP puts [], where they have nothing to change.
        read = decode_json(body, _ONE_OR_NONE)
        if isinstance(read, list) and read:
            raise Invalid("The body must be one contact, not a list.")
        given = read if isinstance(read, ContactInput) else given

    def work(conn: psycopg.Connection) -> tuple[dict[str, Any], bool]:
        updated = update_contact(conn, account, contact_id, given, utc_now())
        return _views(conn, account, [updated.contact])[0], updated.has_events

    services = services_of(request)
    data, has_events = await services.database.run(work)
    if has_events:
        services.waker.wake(WEBHOOKS_CHANNEL)
    return ok(data)


@delete("/contacts/{contact_id:str}", status_code=200)
async def remove(request: Request[Any, Any, Any], contact_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    services = services_of(request)
    if await services.database.run(
        lambda conn: delete_contact(conn, account, contact_id, utc_now())
    ):
        services.waker.wake(WEBHOOKS_CHANNEL)
    return answer({"success": True})


def _views(
    conn: psycopg.Connection, account_id: UUID, contacts: list[ContactRow]
) -> list[dict[str, Any]]:
    hidden = find_hidden_tags(conn, account_id, contacts)
    return [contact_view(contact, hidden) for contact in contacts]


def _refused_view(given: ContactInput, refused: RefusedContact) -> dict[str, Any]:
    names = {
        name: value
        for name, value in (
            ("firstName", given.first_name),
            ("lastName", given.last_name),
            ("email", given.email),
        )
        if isinstance(value, str) and value
    }
    return refused_view(
        refused.number, refused.country, refused.error.code, refused.error.description, names
    )


def _read_tags(query: Query) -> tuple[str, ...]:
    """Tags are divided by commas, or the parameter is repeated."""
    found: dict[str, None] = {}
    for value in query.getall("tags", []):
        for tag in read_text(Query([("tags", value)]), "tags").split(","):
            if tag.strip():
                found[tag.strip()] = None
    return tuple(found)


def _read_strategy(query: Query) -> MergeStrategy:
    word = read_text(query, "mergeStrategy").lower()
    try:
        return MergeStrategy(word) if word else MergeStrategy.APPEND
    except ValueError as error:
        raise Invalid("mergeStrategy is one of append, core, remove.") from error


ROUTES = [list_, create, fetch, update, remove]
