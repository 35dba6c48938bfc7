"""The operations on lists of contacts, and their schemas."""

from __future__ import annotations

from viesti.api.openapi.build import (
    ACCOUNT,
    Paths,
    Schema,
    answer,
    body,
    envelope,
    fields,
    flag,
    in_path,
    listed,
    many,
    operation,
    page_of,
    parameter,
    query,
    ref,
    text,
    whole,
)
from viesti.api.openapi.examples import CONTACT_ID, done

_TAG = "lists"
_ACCOUNT_ID = parameter("accountId")
_ONE = [_ACCOUNT_ID, in_path("listId", "the list's id")]
_LIST_IN = {"name": "Club", "keyword": "JOIN"}
_LIST = {
    "id": "01954f2a-1c00-7000-8000-000000000009",
    "name": "Club",
    "keyword": "JOIN",
    "doubleOptIn": {"enabled": False},
    "created": {"at": "2026-03-01T10:00:00.000Z"},
    "updated": {"at": "2026-03-01T10:00:00.000Z"},
}
_MEMBERS = {"contacts": [CONTACT_ID]}

_WRITABLE: dict[str, Schema] = {
    "name": text(),
    "keyword": text("texted alone, it joins the list; no word of consent, and one list's alone"),
    "doubleOptIn": fields(
        {"enabled": flag(), "prompt": text("a template; absent: the usual wording")},
        "whether the keyword asks for a yes first",
    ),
    "optInConfirmation": text("a template, sent after an opt-in; absent: nothing is sent"),
    "filter": fields(
        {}, "whom the list holds; absent: whoever was added", additionalProperties=True
    ),
}

SCHEMAS: dict[str, Schema] = {
    "ListRequest": fields(_WRITABLE),
    "ContactList": fields(
        {
            "id": text(),
            **_WRITABLE,
            "created": fields({"at": text(format="date-time")}),
            "updated": fields({"at": text(format="date-time")}),
        }
    ),
    "ListResponse": envelope(ref("ContactList")),
    "ListsResponse": page_of(ref("ContactList")),
    "ListMembersRequest": fields({"contacts": many(text(), "ids, up to 10,000")}),
    "ListMembersResponse": envelope(
        fields({"added": whole("new to the list"), "removed": whole("taken off it")})
    ),
}

PATHS: Paths = {
    f"{ACCOUNT}/lists": {
        "get": listed(
            "lists.fetchAll",
            _TAG,
            "List lists",
            "ListsResponse",
            _LIST,
            description="By name.",
            parameters=[query("name", text(), "part of the name")],
        ),
        "post": operation(
            "lists.create",
            _TAG,
            "Create a list",
            parameters=[_ACCOUNT_ID],
            request=body(ref("ListRequest"), _LIST_IN),
            answers={"201": answer(ref("ListResponse"), done(_LIST))},
            refusals=["LIST-002", "LIST-003", "LIST-004", "TMPL-001", "TMPL-002", "GEN-415"],
        ),
    },
    f"{ACCOUNT}/lists/{{listId}}": {
        "get": operation(
            "lists.fetch",
            _TAG,
            "Fetch a list",
            parameters=_ONE,
            answers={"200": answer(ref("ListResponse"), done(_LIST))},
            refusals=["LIST-001"],
        ),
        "put": operation(
            "lists.update",
            _TAG,
            "Change a list",
            description="Given fields change, absent ones stay.",
            parameters=_ONE,
            request=body(ref("ListRequest"), _LIST_IN, required=False),
            answers={"200": answer(ref("ListResponse"), done(_LIST))},
            refusals=[
                "LIST-001",
                "LIST-002",
                "LIST-003",
                "LIST-004",
                "TMPL-001",
                "TMPL-002",
                "GEN-415",
            ],
        ),
        "delete": operation(
            "lists.remove",
            _TAG,
            "Delete a list",
            description="Its contacts stay.",
            parameters=_ONE,
            answers={"200": answer(ref("SuccessResponse"), {"success": True})},
            refusals=["LIST-001"],
        ),
    },
    f"{ACCOUNT}/lists/{{listId}}/contacts": {
        "post": operation(
            "lists.addContacts",
            _TAG,
            "Add contacts to a list",
            parameters=_ONE,
            request=body(ref("ListMembersRequest"), _MEMBERS),
            answers={"200": answer(ref("ListMembersResponse"), done({"added": 1}))},
            refusals=["LIST-001", "GEN-415"],
        ),
    },
    f"{ACCOUNT}/lists/{{listId}}/contacts/remove": {
        "put": operation(
            "lists.removeContacts",
            _TAG,
            "Take contacts off a list",
            description="Those that opted out of it stay on it, as such.",
            parameters=_ONE,
            request=body(ref("ListMembersRequest"), _MEMBERS),
            answers={"200": answer(ref("ListMembersResponse"), done({"removed": 1}))},
            refusals=["LIST-001", "GEN-415"],
        ),
    },
}
