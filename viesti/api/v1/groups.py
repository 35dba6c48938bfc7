"""``/groups``: the account's one default group with its numbers.

Clients in use ask for it before they send (api-current.md section 9). Its id is the account's,
as in messages and conversations.
"""

from __future__ import annotations

from typing import Any

import psycopg
from litestar import Request, Response, get

from viesti.api.auth import caller_of
from viesti.api.paging import read_paging
from viesti.api.respond import ok_page
from viesti.api.services import services_of
from viesti.domain.accounts.service import get_account
from viesti.domain.contacts.views import moment_view
from viesti.domain.messages.views import group_view
from viesti.domain.senders.choice import find_senders

# Clients in use ask for 500 here, above what other lists give.
MAX_LIMIT = 500


@get("/groups")
async def list_(request: Request[Any, Any, Any]) -> Response[bytes]:
    account = caller_of(request).account_id
    paging = read_paging(request.query_params, max_limit=MAX_LIMIT)

    def work(conn: psycopg.Connection) -> dict[str, Any]:
        group = group_view(account)
        since = get_account(conn, account).created_at
        numbers = [
            {
                "id": str(sender.id),
                "status": "active",
                "number": sender.number,
                "country": sender.country,
                "type": sender.type,
                "groups": [group],
                "channels": {"sms": {"active": True}},
            }
            for sender in find_senders(conn, account)
        ]
        senders = [
            {
                "id": number["id"],
                "type": "phonenumber",
                "subType": number["type"],
                "status": "active",
                "identifier": number["number"],
            }
            for number in numbers
        ]
        return group | {
            "tags": [],
            "isDefault": True,
            "useSharedPool": False,
            "users": [],
            "phoneNumbers": numbers,
            "senders": senders,
            "notifications": [],
            "created": moment_view(since),
            "updated": moment_view(since),
        }

    group = await services_of(request).database.run(work)
    return ok_page([group][paging.offset : paging.offset + paging.limit], paging, 1)


ROUTES = [list_]
