"""``/messages``: send, list, fetch, cancel."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg
from anyio import to_thread
from litestar import Request, Response, delete, get, post
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.body import (
    BULK_OCTETS,
    MAX_BULK_OCTETS,
    decode_json,
    read_idempotency_key,
    require_json,
)
from viesti.api.media import check_media
from viesti.api.paging import Query, read_text, read_walk
from viesti.api.respond import ok, ok_walk
from viesti.api.services import services_of
from viesti.dispatch.settings import DISPATCH_CHANNEL
from viesti.domain.messages.cancel import cancel_message
from viesti.domain.messages.expansion import EXPANSION_CHANNEL
from viesti.domain.messages.models import SendAnswer, SendRequest
from viesti.domain.messages.queries import MessageFilter, get_message, list_messages
from viesti.domain.messages.send import send_messages
from viesti.domain.messages.views import MessageRow, message_view
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import utc_now

_SEND = msgspec.json.Decoder(SendRequest)


@get("/messages")
async def list_(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    query: Query = request.query_params
    paging = read_walk(query)
    narrow = MessageFilter(
        contact_id=read_text(query, "contactId") or None,
        conversation_id=read_text(query, "conversationId") or None,
        job_id=read_text(query, "jobId") or None,
        status=read_text(query, "status") or None,
    )
    page = await services_of(request).database.look(
        lambda conn: list_messages(conn, account, narrow, paging.offset, paging.limit, paging.after)
    )
    views = [message_view(row) for row in page.messages]
    return ok_walk(views, paging, page.count, has_next=page.has_next)


@post("/messages", status_code=200, request_max_body_size=MAX_BULK_OCTETS)
async def send(request: Request[Any, Any, Any]) -> Response[bytes]:
    caller = caller_of(request)
    key = read_idempotency_key(request)
    require_json(request)
    body = await request.body()
    bulk = len(body) > BULK_OCTETS
    wanted: SendRequest = (
        await to_thread.run_sync(decode_json, body, _SEND) if bulk else decode_json(body, _SEND)
    )

    def work(conn: psycopg.Connection) -> SendAnswer:
        return send_messages(
            conn,
            caller.account_id,
            wanted,
            credential_id=caller.credential_id,
            idempotency_key=key,
            body=body,
            now=utc_now(),
        )

    services = services_of(request)
    check_media(wanted.media or (), services.settings)
    sent = await services.database.run(work, bulk=bulk)
    for lane in {hint.lane_id for hint in sent.wake}:
        services.waker.wake(DISPATCH_CHANNEL, str(lane))
    if sent.has_events:
        services.waker.wake(WEBHOOKS_CHANNEL)
    if sent.has_job:
        services.waker.wake(EXPANSION_CHANNEL)
    return ok(sent.data)


@get("/messages/{message_id:str}")
async def fetch(request: Request[Any, Any, Any], message_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    row = await services_of(request).database.run(
        lambda conn: get_message(conn, account, message_id)
    )
    return ok(message_view(row))


@delete("/messages/{message_id:str}", status_code=200)
async def cancel(request: Request[Any, Any, Any], message_id: FromPath[str]) -> Response[bytes]:
    """Take back a text that has not begun to leave; the answer is the canceled message."""
    account = caller_of(request).account_id

    def work(conn: psycopg.Connection) -> tuple[MessageRow, bool]:
        canceled = cancel_message(conn, account, message_id)
        return get_message(conn, account, message_id), canceled.has_events

    services = services_of(request)
    row, has_events = await services.database.run(work)
    if has_events:
        services.waker.wake(WEBHOOKS_CHANNEL)
    return ok(message_view(row))


ROUTES = [list_, send, fetch, cancel]
