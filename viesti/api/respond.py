"""Answers in the contract's success envelope."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response

from viesti.api.paging import Paging
from viesti.domain.contacts.counts import Count

_encode = msgspec.json.Encoder().encode


def ok(data: Any, *, status: int = 200) -> Response[bytes]:
    """``{success, data}``."""
    return answer({"success": True, "data": data}, status=status)


def ok_page(
    data: list[dict[str, Any]], paging: Paging, total_count: int, *, status: int = 200
) -> Response[bytes]:
    """``{success, data, pagination}``."""
    return answer(
        {"success": True, "data": data, "pagination": paging.view(total_count, len(data))},
        status=status,
    )


def ok_walk(
    data: list[dict[str, Any]], paging: Paging, count: Count, *, has_next: bool
) -> Response[bytes]:
    """``{success, data, pagination}`` of a list that can be long.

    ``pagination.after`` leads to the next page. A total that is estimated is marked by the
    header ``X-Total-Count-Estimated``, where no client stumbles over it.
    """
    pagination: dict[str, Any] = {
        "offset": paging.offset,
        "limit": paging.limit,
        "totalCount": count.total,
        "hasNext": has_next,
    }
    if has_next:
        pagination["after"] = data[-1]["id"]
    return answer(
        {"success": True, "data": data, "pagination": pagination},
        headers=None if count.exact else {"X-Total-Count-Estimated": "true"},
    )


def answer(
    body: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """``body`` as JSON, without an envelope of its own."""
    return Response(
        _encode(body), status_code=status, media_type="application/json", headers=headers
    )
