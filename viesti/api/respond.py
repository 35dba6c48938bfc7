"""Answers in the contract's success envelope."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response

from viesti.api.paging import Paging

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


def answer(
    body: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """``body`` as JSON, without an envelope of its own."""
    return Response(
        _encode(body), status_code=status, media_type="application/json", headers=headers
    )
