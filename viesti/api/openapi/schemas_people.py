"""The schemas of contacts, tags, lists, senders, groups and users."""

from __future__ import annotations

from viesti.api.openapi.build import (
    Schema,
    enum,
    envelope,
    fields,
    flag,
    many,
    moment,
    page_of,
    ref,
    text,
    whole,
)

_ID = text("Opaque; set by the platform.")

SCHEMAS: dict[str, Schema] = {
    "AccountId": text(),
    "Updated": fields(
        {
            "at": moment("UTC, in milliseconds"),
            "by": fields({"id": text(), "firstName": text(), "lastName": text(), "email": text()}),
        },
        "When something happened, and by whom where a person did it.",
    ),
    "Error": fields({"code": text(), "description": text()}, "Why this one failed."),
    "Tag": fields({"tag": text(), "visible": flag("false: not shown in the hub")}),
    "ContactIdentifiers": fields(
        {
            "id": _ID,
            "email": text(),
            "firstName": text(),
            "lastName": text(),
            "mobile": fields(
                {
                    "number": text("E.164 in answers; any usual form in requests"),
                    "country": text("ISO 3166-1 alpha-2"),
                    "valid": flag(),
                }
            ),
        }
    ),
    "ContactRequest": {
        "allOf": [
            ref("ContactIdentifiers"),
            fields(
                {
                    "attributes": {
                        "type": "object",
                        "description": "Fields of your own, usable in templates.",
                    },
                    "tags": many(ref("Tag")),
                }
            ),
        ]
    },
    "Contact": {
        "allOf": [
            ref("ContactRequest"),
            fields(
                {
                    "valid": flag("false: this contact was not stored, see error"),
                    "error": ref("Error"),
                    "blocked": moment("since when the number has opted out"),
                    "optIn": moment("when it opted in"),
                    "lists": many(ref("ListMembership")),
                    "created": ref("Updated"),
                    "updated": ref("Updated"),
                }
            ),
        ]
    },
    "ListMembership": fields(
        {"id": text(), "name": text(), "optIn": moment(), "optOut": moment()},
        "A list that the contact is on.",
    ),
    "ContactResponse": envelope(ref("Contact")),
    "ContactsResponse": page_of(ref("Contact")),
    "ContactUploadResponse": envelope(
        fields(
            {
                "submitted": whole("rows of the file"),
                "success": whole("rows that were taken"),
                "inserted": whole("contacts that are new"),
                "updated": whole("contacts that were known"),
                "contacts": many(ref("Contact")),
                "errors": many(ref("Contact"), "rows that were refused, with why"),
                "ignoredColumns": many(text(), "columns that were not read, such as consent"),
                "jobId": text("the job that works off a large file"),
            }
        )
    ),
    "Import": fields(
        {
            "id": _ID,
            "type": text(),
            "status": text(),
            "mergeStrategy": text(),
            "submitted": whole("rows of the file so far"),
            "done": whole("rows worked off"),
            "success": whole("rows that were taken"),
            "failed": whole("rows that were refused"),
            "inserted": whole("contacts that are new"),
            "updated": whole("contacts that were known"),
            "errors": many(ref("Contact"), "refused rows, with why; the first of them"),
            "ignoredColumns": many(text(), "columns that say nothing of a contact here"),
            "created": ref("Updated"),
            "ended": ref("Updated"),
        }
    ),
    "ImportResponse": envelope(ref("Import")),
    "PhoneNumber": fields(
        {
            "id": text(),
            "number": text("E.164, short code or alphanumeric"),
            "country": text("ISO 3166-1 alpha-2"),
            "active": flag(),
        }
    ),
    "GroupPhoneNumber": {
        "allOf": [
            ref("PhoneNumber"),
            fields(
                {
                    "status": text(),
                    "type": text(),
                    "groups": many(ref("GroupRef")),
                    "channels": {"type": "object"},
                }
            ),
        ]
    },
    "GroupRef": fields({"id": text(), "name": text()}),
    "User": fields(
        {
            "id": text(),
            "firstName": text(),
            "lastName": text(),
            "email": text(),
            "mobile": {"type": "object"},
            "role": enum("Administrator", "Campaign Manager", "Sender", "Read Only"),
        }
    ),
    "Group": fields(
        {
            "id": _ID,
            "name": text(),
            "isDefault": flag(),
            "useSharedPool": flag("another sender of the account may stand in"),
            "tags": many(text()),
            "users": many(ref("User")),
            "phoneNumbers": many(ref("GroupPhoneNumber")),
            "senders": many({"type": "object"}),
            "notifications": many({"type": "object"}),
            "created": ref("Updated"),
            "updated": ref("Updated"),
        }
    ),
    "GroupsResponse": page_of(ref("Group")),
}
