"""``/conversations``: list, fetch, close."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get, put
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.paging import read_walk
from viesti.api.respond import ok, ok_walk
from viesti.api.services import services_of
from viesti.domain.conversations.service import (
    close_conversation,
    get_conversation,
    list_conversations,
)
from viesti.domain.conversations.views import conversation_view
from viesti.events.outbox import WEBHOOKS_CHANNEL
from viesti.kit.clock import utc_now


@get("/conversations")
async def list_(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    paging = read_walk(request.query_params)
    page = await services_of(request).database.look(
        lambda conn: list_conversations(conn, account, paging.offset, paging.limit, paging.after)
    )
    views = [conversation_view(row) for row in page.conversations]
    return ok_walk(views, paging, page.count, has_next=page.has_next)


@get("/conversations/{conversation_id:str}")
async def fetch(request: Request[Any, Any, Any], conversation_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    row = await services_of(request).database.run(
        lambda conn: get_conversation(conn, account, conversation_id)
    )
    return ok(conversation_view(row))


@put("/conversations/{conversation_id:str}/close")
async def close(request: Request[Any, Any, Any], conversation_id: FromPath[str]) -> Response[bytes]:
    """A body is ignored: samples in circulation send one of another resource."""
    account = caller_of(request).account_id
    services = services_of(request)
    closed = await services.database.run(
        lambda conn: close_conversation(conn, account, conversation_id, utc_now())
    )
    if closed.has_events:
        services.waker.wake(WEBHOOKS_CHANNEL)
    return ok(conversation_view(closed.conversation))


ROUTES = [list_, fetch, close]
