"""``/webhooks``: list, subscribe, unsubscribe by percent-encoded URL or by id."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
import psycopg
from litestar import Request, Response, delete, get, post

from viesti.api.auth import caller_of
from viesti.api.body import decode_json, require_json
from viesti.api.paging import read_paging
from viesti.api.respond import ok, ok_page
from viesti.api.services import services_of
from viesti.domain.webhook_endpoints.models import WebhookNotFound, webhook_view
from viesti.domain.webhook_endpoints.service import (
    Subscribed,
    find_webhook,
    list_webhooks,
    subscribe,
    unsubscribe,
)
from viesti.events.catalogue import EventType
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import utc_now
from viesti.kit.errors import Invalid

_MARK = b"/webhooks/"


class SubscribeRequest(msgspec.Struct, rename="camel"):
    """The contract requires ``callbackUrl`` in one place and shows ``url`` everywhere else.

    It does not require ``eventTypes``: who names none hears all.
    """

    url: str | None = None
    callback_url: str | None = None
    destination: str | None = None
    event_types: list[str] | str | None = None


_SUBSCRIBE = msgspec.json.Decoder(SubscribeRequest)


@get("/webhooks")
async def list_(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    paging = read_paging(request.query_params)
    page = await services_of(request).database.run(
        lambda conn: list_webhooks(conn, account, paging.offset, paging.limit)
    )
    return ok_page([webhook_view(hook) for hook in page.webhooks], paging, page.total_count)


@post("/webhooks", status_code=200)
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The webhook, and the secret that its signatures are made with."""
    account = caller_of(request).account_id
    require_json(request)
    wanted = decode_json(await request.body(), _SUBSCRIBE)
    url = wanted.url or wanted.callback_url or wanted.destination
    if not url:
        raise Invalid("Give the webhook's url.", "WEBH-002")
    kinds = list(EventType) if wanted.event_types is None else wanted.event_types
    event_types = kinds.split(",") if isinstance(kinds, str) else kinds
    services = services_of(request)

    def work(conn: psycopg.Connection) -> Subscribed:
        return subscribe(
            conn,
            services.platform_key,
            account,
            url,
            [kind.strip() for kind in event_types],
            utc_now(),
            allow_private=services.settings.private_allowed,
        )

    done = await services.database.run(work)
    services.waker.wake(WEBHOOKS_CHANNEL)
    return ok(webhook_view(done.webhook, done.secret))


@delete("/webhooks/{url:path}", status_code=204)
async def remove(request: Request[Any, Any, Any]) -> None:
    account = caller_of(request).account_id
    spellings = _spellings(request)

    def work(conn: psycopg.Connection) -> None:
        for spelling in spellings:
            if find_webhook(conn, account, spelling) is not None:
                unsubscribe(conn, account, spelling)
                return
        raise WebhookNotFound("There is no such webhook.")

    services = services_of(request)
    await services.database.run(work)
    services.waker.wake(WEBHOOKS_CHANNEL)


def _spellings(request: Request[Any, Any, Any]) -> list[str]:
    """What the client may have meant by the rest of the path, the likeliest first.

    Read from the path as sent: the decoded path no longer shows where the URL was encoded.
    Clients that forget to encode have the URL's query in the request's own.
    """
    raw = request.scope["raw_path"].partition(b"?")[0]
    rest = raw.partition(_MARK)[2]
    query = request.scope["query_string"]
    found: list[str] = []
    for octets in (rest, rest + b"?" + query if query else rest, rest.rstrip(b"/")):
        try:
            text = unquote_to_bytes(octets).decode()
        except UnicodeDecodeError:
            continue
        if text and "\x00" not in text and text not in found:
            found.append(text)
    return found


ROUTES = [list_, create, remove]
