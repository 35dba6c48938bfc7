"""What is known of a request beside its content: its id, its route, when it came in.

The id is the client's own if it sent a usable one, else a fresh one; answers carry it as
X-Request-Id and log lines as ``request_id``.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any, cast

from litestar.types import Scope

from viesti.kit.clock import monotonic_s
from viesti.kit.ids import new_id

HEADER = b"x-request-id"
_USABLE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ID_KEY = "viesti_request_id"
_ARRIVED_KEY = "viesti_arrived_s"


def note_arrival(scope: Scope) -> None:
    _state(scope)[_ARRIVED_KEY] = monotonic_s()


def seconds_since_arrival(scope: Scope) -> float:
    now_s = monotonic_s()
    return now_s - float(_state(scope).get(_ARRIVED_KEY, now_s))


def request_id_of(scope: Scope) -> str:
    """The id of the request in ``scope``, the same each time."""
    state = _state(scope)
    known = state.get(_ID_KEY)
    if known is None:
        given = next((value for name, value in scope["headers"] if name.lower() == HEADER), b"")
        known = given.decode() if _USABLE.fullmatch(given) else str(new_id())
        state[_ID_KEY] = known
    return str(known)


def route_of(scope: Scope) -> str:
    """The route that was matched, with its parameters' names; empty if none was."""
    return str(cast("MutableMapping[str, Any]", scope).get("path_template", ""))


def _state(scope: Scope) -> dict[str, Any]:
    return cast("MutableMapping[str, Any]", scope).setdefault("state", {})
