"""``/messages``: send, list, fetch."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import psycopg
from anyio import to_thread
from litestar import Request, Response, get, post
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.body import BULK_OCTETS, MAX_BULK_OCTETS, decode_json, require_json
from viesti.api.paging import Query, read_paging, read_text
from viesti.api.respond import ok, ok_page
from viesti.api.services import services_of
from viesti.dispatch.settings import DISPATCH_CHANNEL
from viesti.domain.messages.models import SendAnswer, SendRequest
from viesti.domain.messages.queries import MessageFilter, get_message, list_messages
from viesti.domain.messages.send import send_messages
from viesti.domain.messages.views import message_view
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import utc_now
from viesti.kit.errors import Invalid

_SEND = msgspec.json.Decoder(SendRequest)
_KEY = re.compile(r"[\x20-\x7e]{1,255}", re.ASCII)


@get("/messages")
async def list_(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    query: Query = request.query_params
    paging = read_paging(query)
    narrow = MessageFilter(
        contact_id=read_text(query, "contactId") or None,
        conversation_id=read_text(query, "conversationId") or None,
        job_id=read_text(query, "jobId") or None,
        status=read_text(query, "status") or None,
    )
    page = await services_of(request).database.run(
        lambda conn: list_messages(conn, account, narrow, paging.offset, paging.limit)
    )
    return ok_page([message_view(row) for row in page.messages], paging, page.total_count)


@post("/messages", status_code=200, request_max_body_size=MAX_BULK_OCTETS)
async def send(request: Request[Any, Any, Any]) -> Response[bytes]:
    caller = caller_of(request)
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid("An Idempotency-Key has 1 to 255 printable ASCII characters.")
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
    sent = await services.database.run(work, bulk=bulk)
    for lane in {hint.lane_id for hint in sent.wake}:
        services.waker.wake(DISPATCH_CHANNEL, str(lane))
    if sent.has_events:
        services.waker.wake(WEBHOOKS_CHANNEL)
    return ok(sent.data)


@get("/messages/{message_id:str}")
async def fetch(request: Request[Any, Any, Any], message_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    row = await services_of(request).database.run(
        lambda conn: get_message(conn, account, message_id)
    )
    return ok(message_view(row))


ROUTES = [list_, send, fetch]
