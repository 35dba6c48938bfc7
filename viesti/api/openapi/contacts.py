"""The operations on contacts."""

from __future__ import annotations

from viesti.api.openapi.build import (
    ACCOUNT,
    PAGE,
    Paths,
    after,
    answer,
    body,
    csv_body,
    enum,
    in_path,
    listed,
    operation,
    parameter,
    query,
    ref,
    text,
)
from viesti.api.openapi.examples import CONTACT, CONTACT_IN, IMPORT, done

_TAG = "contacts"
_ACCOUNT_ID = parameter("accountId")
_IMPORT = [_ACCOUNT_ID, in_path("importId", "the `jobId` that the upload answered")]
_ONE = [_ACCOUNT_ID, in_path("contactId", "the contact's id")]

PATHS: Paths = {
    f"{ACCOUNT}/contacts": {
        "get": listed(
            "contacts.fetchAll",
            _TAG,
            "List contacts",
            "ContactsResponse",
            CONTACT,
            description="Oldest first. The filters narrow together.",
            parameters=[
                parameter("firstNameFilter"),
                parameter("lastNameFilter"),
                parameter("mobileFilter"),
                parameter("emailFilter"),
                parameter("tagsFilter"),
                query("q", text(), "part of a name, an e-mail address or a number"),
                query("list", text(), "on this list; several, divided by commas: on each"),
                after(),
            ],
        ),
        "post": operation(
            "contacts.create",
            _TAG,
            "Create or merge contacts",
            description=(
                "One contact, a list of up to 10,000, or a CSV file. A known number is merged as"
                " `mergeStrategy` says. Consent is never changed by this call."
            ),
            parameters=[
                _ACCOUNT_ID,
                query(
                    "mergeStrategy",
                    enum("append", "core", "remove"),
                    "append (default): given fields overwrite, tags and attributes are added;"
                    " core: only names and e-mail; remove: the record becomes what was sent",
                ),
            ],
            request={
                "required": True,
                "content": body(ref("ContactRequest"), CONTACT_IN)["content"]
                | csv_body()["content"],
            },
            answers={
                "201": answer(
                    {"oneOf": [ref("ContactsResponse"), ref("ContactUploadResponse")]},
                    {"success": True, "data": [CONTACT], "pagination": PAGE},
                )
            },
            refusals=["CONT-001", "CONT-003", "GEN-413", "GEN-415"],
        ),
    },
    f"{ACCOUNT}/imports/{{importId}}": {
        "get": operation(
            "imports.fetch",
            _TAG,
            "How far a contact file is",
            description="Files of more rows than one call takes go on as a job.",
            parameters=_IMPORT,
            answers={"200": answer(ref("ImportResponse"), done(IMPORT))},
        ),
    },
    f"{ACCOUNT}/imports/{{importId}}/cancel": {
        "post": operation(
            "imports.cancel",
            _TAG,
            "Leave the rest of a contact file",
            description="Rows that are stored already stay.",
            parameters=_IMPORT,
            answers={"200": answer(ref("ImportResponse"), done(IMPORT | {"status": "canceled"}))},
        ),
    },
    f"{ACCOUNT}/contacts/{{contactId}}": {
        "get": operation(
            "contacts.fetch",
            _TAG,
            "Fetch a contact",
            parameters=_ONE,
            answers={"200": answer(ref("ContactResponse"), done(CONTACT))},
            refusals=["CONT-002"],
        ),
        "put": operation(
            "contacts.update",
            _TAG,
            "Change a contact",
            description="Given fields change, absent ones stay, an empty value clears.",
            parameters=_ONE,
            request=body(ref("ContactRequest"), CONTACT_IN, required=False),
            answers={"200": answer(ref("ContactResponse"), done(CONTACT))},
            refusals=["CONT-001", "CONT-002", "CONT-003", "CONT-004", "GEN-415"],
        ),
        "delete": operation(
            "contacts.remove",
            _TAG,
            "Delete a contact",
            description="Its messages stay; a number that opted out stays opted out.",
            parameters=_ONE,
            answers={"200": answer(ref("SuccessResponse"), {"success": True})},
            refusals=["CONT-002"],
        ),
    },
}
