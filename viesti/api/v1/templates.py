"""``/templates``: create, list, fetch, update, delete, preview."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post, put
from litestar.params import FromPath

from viesti.api.auth import caller_of
from viesti.api.body import decode_json, is_blank, require_json
from viesti.api.media import check_media
from viesti.api.paging import Paging, Query, read_paging, read_text
from viesti.api.respond import answer, ok, ok_page
from viesti.api.services import services_of
from viesti.domain.accounts.models import Profile
from viesti.domain.messages.preview import PreviewRequest, preview
from viesti.domain.templates.models import TemplateInput, template_view
from viesti.domain.templates.service import (
    create_template,
    delete_template,
    get_template,
    list_templates,
    update_template,
)
from viesti.kit.clock import utc_now
from viesti.kit.errors import Invalid

_TEMPLATE = msgspec.json.Decoder(TemplateInput)
_TEMPLATE_OR_NONE: msgspec.json.Decoder[TemplateInput | list[Any] | None] = msgspec.json.Decoder(
    TemplateInput | list[Any] | None
)
_PREVIEW = msgspec.json.Decoder(PreviewRequest)


@get("/templates")
async def list_(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    query: Query = request.query_params
    paging = read_paging(query)
    name = read_text(query, "name")
    page = await services_of(request).database.run(
        lambda conn: list_templates(conn, account, name, paging.offset, paging.limit)
    )
    return ok_page([template_view(row) for row in page.templates], paging, page.total_count)


@post("/templates", status_code=201)
async def create(request: Request[Any, Any, Any]) -> Response[bytes]:
    caller = caller_of(request)
    require_json(request)
    given = decode_json(await request.body(), _TEMPLATE)
    check_media(given.media or (), services_of(request).settings)
    made = await services_of(request).database.run(
        lambda conn: create_template(conn, caller.account_id, given, utc_now())
    )
    if caller.profile is Profile.LIVE:
        return ok(template_view(made), status=201)
    return ok_page([template_view(made)], Paging(offset=0, limit=1), 1, status=201)


@get("/templates/{template_id:str}")
async def fetch(request: Request[Any, Any, Any], template_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    row = await services_of(request).database.run(
        lambda conn: get_template(conn, account, template_id)
    )
    return ok(template_view(row))


@put("/templates/{template_id:str}")
async def update(request: Request[Any, Any, Any], template_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    body = await request.body()
    given = TemplateInput()
    if not is_blank(body):
        require_json(request)
        # Generated clients put null, and PHP puts [], where they have nothing to change.
        read = decode_json(body, _TEMPLATE_OR_NONE)
        if isinstance(read, list) and read:
            raise Invalid("The body must be one template, not a list.")
        given = read if isinstance(read, TemplateInput) else given
        check_media(given.media or (), services_of(request).settings)
    row = await services_of(request).database.run(
        lambda conn: update_template(conn, account, template_id, given, utc_now())
    )
    return ok(template_view(row))


@delete("/templates/{template_id:str}", status_code=200)
async def remove(request: Request[Any, Any, Any], template_id: FromPath[str]) -> Response[bytes]:
    account = caller_of(request).account_id
    await services_of(request).database.run(
        lambda conn: delete_template(conn, account, template_id)
    )
    return answer({"success": True})


@post("/templates/preview", status_code=200)
async def show(request: Request[Any, Any, Any]) -> Response[bytes]:
    """What a template becomes for a contact; either may be stored or given."""
    require_json(request)
    wanted = decode_json(await request.body(), _PREVIEW)
    check_media(wanted.media or (), services_of(request).settings)
    return await _preview(request, wanted)


@get("/templates/{template_id:str}/preview")
async def show_stored(
    request: Request[Any, Any, Any], template_id: FromPath[str]
) -> Response[bytes]:
    contact = read_text(request.query_params, "contactId")
    return await _preview(request, PreviewRequest(template_id=template_id, contact_id=contact))


async def _preview(request: Request[Any, Any, Any], wanted: PreviewRequest) -> Response[bytes]:
    account = caller_of(request).account_id
    return ok(
        await services_of(request).database.run(
            lambda conn: preview(conn, account, wanted, utc_now())
        )
    )


ROUTES = [list_, create, show, fetch, update, remove, show_stored]
