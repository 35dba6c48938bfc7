"""``/groups``: the account's groups with their numbers and users.

Clients in use ask for it before they send (api-current.md section 9); one of their parameters,
``admin``, has no meaning here.
"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get

from viesti.api.auth import caller_of
from viesti.api.paging import read_paging
from viesti.api.respond import ok_page
from viesti.api.services import services_of
from viesti.domain.groups.queries import list_groups
from viesti.domain.groups.service import MAX_GROUPS
from viesti.domain.groups.views import group_view


@get("/groups")
async def list_(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    # Clients in use ask for all at once, above what other lists give.
    paging = read_paging(request.query_params, max_limit=MAX_GROUPS)
    page = await services_of(request).database.run(
        lambda conn: list_groups(conn, account, paging.offset, paging.limit)
    )
    return ok_page([group_view(group) for group in page.groups], paging, page.total_count)


ROUTES = [list_]
