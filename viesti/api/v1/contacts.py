"""``/contacts``: create, list, fetch, update, delete."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import msgspec
import psycopg
from anyio import to_thread
from litestar import Request, Response, delete, get, post, put
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.body import (
    BULK_OCTETS,
    MAX_BULK_OCTETS,
    decode_json,
    is_blank,
    read_body,
    require_json,
)
from viesti.api.paging import Query, read_text, read_walk
from viesti.api.respond import answer, ok, ok_walk
from viesti.api.services import services_of
from viesti.api.v1.contact_upload import kind_of_upload, parse_strategy, take_upload
from viesti.domain.accounts.models import Profile
from viesti.domain.contacts.filters import MAX_CLAUSES, ContactFilter
from viesti.domain.contacts.models import ContactInput, clean_tag
from viesti.domain.contacts.queries import ContactPage, get_contact, list_contacts
from viesti.domain.contacts.service import (
    RefusedContact,
    create_contacts,
    delete_contact,
    update_contact,
)
from viesti.domain.contacts.tags import find_hidden_tags
from viesti.domain.contacts.upsert import ContactRow
from viesti.domain.contacts.views import contact_view, refused_view
from viesti.domain.lists.models import membership_view
from viesti.domain.lists.service import find_memberships, put_on_lists
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
    paging = read_walk(query)
    narrow = ContactFilter(
        q=read_text(query, "q"),
        first_name=read_text(query, "firstName"),
        last_name=read_text(query, "lastName"),
        email=read_text(query, "email"),
        mobile=read_text(query, "mobile"),
        tags=tuple(map(clean_tag, _read_several(query, "tags"))),
        lists=_read_several(query, "list"),
    )

    def work(conn: psycopg.Connection) -> tuple[list[dict[str, Any]], ContactPage]:
        page = list_contacts(conn, account, narrow, paging.offset, paging.limit, paging.after)
        return _views(conn, account, page.contacts), page

    data, page = await services_of(request).database.look(work)
    return ok_walk(data, paging, page.count, has_next=page.has_next)


# A file may be larger than any JSON; either is held to its bound while it is read.
@post("/contacts", status_code=201, request_max_body_size=None)
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    caller = caller_of(request)
    strategy = parse_strategy(read_text(request.query_params, "mergeStrategy"))
    upload = kind_of_upload(request)
    if upload is not None:
        return await take_upload(request, upload, strategy)
    require_json(request)
    body = await read_body(request, MAX_BULK_OCTETS)
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
        put_on_lists(
            conn,
            caller.account_id,
            {
                result.id: _lists_of(given) or []
                for given, result in zip(contacts, created.results, strict=True)
                if isinstance(result, ContactRow) and _lists_of(given)
            },
            utc_now(),
        )
        shown = iter(_views(conn, caller.account_id, stored))
        views = [
            next(shown) if isinstance(result, ContactRow) else _refused_view(given, result)
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
        lists = _lists_of(given)
        if lists is not None:
            put_on_lists(conn, account, {updated.contact.id: lists}, utc_now(), replace=True)
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
    lists = find_memberships(conn, account_id, [contact.id for contact in contacts])
    return [
        contact_view(
            contact, hidden, [membership_view(member) for member in lists.get(contact.id, ())]
        )
        for contact in contacts
    ]


def _lists_of(given: ContactInput) -> list[Any] | None:
    """The lists that were given; None where none were, or something else of that name."""
    written: Any = given.lists
    if written is None:
        return []
    return cast("list[Any]", written) if isinstance(written, list) else None


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


def _read_several(query: Query, name: str) -> tuple[str, ...]:
    """Several texts are divided by commas, or the parameter is repeated."""
    found: dict[str, None] = {}
    for value in query.getall(name, []):
        for text in read_text(Query([(name, value)]), name).split(","):
            if text.strip():
                found[text.strip()] = None
    if len(found) > MAX_CLAUSES:
        raise Invalid(f"{name} may name at most {MAX_CLAUSES}.")
    return tuple(found)


ROUTES = [list_, create, fetch, update, remove]
