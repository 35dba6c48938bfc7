"""The schemas and parameters that every operation shares, and those of tokens."""

from __future__ import annotations

from viesti.api.openapi.build import (
    SCOPE,
    Schema,
    fields,
    flag,
    in_path,
    query,
    text,
    whole,
)

SCHEMAS: dict[str, Schema] = {
    "ErrorResponse": fields(
        {
            "success": flag(),
            "error": fields({"code": text(), "message": text()}, required=["code", "message"]),
        },
        "Every refusal; the codes are listed in docs/error-codes.md.",
        required=["success", "error"],
    ),
    "PaginatedResponse": fields(
        {
            "success": flag(),
            "pagination": fields(
                {
                    "offset": whole(),
                    "limit": whole(),
                    "totalCount": whole(),
                    "hasNext": flag("always exact"),
                    "after": text("leads to the next page, where there is one"),
                },
                required=["offset", "limit", "totalCount", "hasNext"],
            ),
            "error": fields({"code": text(), "message": text()}),
        },
        required=["success", "pagination"],
    ),
    "SuccessResponse": fields({"success": flag()}, required=["success"]),
    "TokenRequest": fields(
        {
            "grant_type": text(examples=["client_credentials"]),
            "client_id": text(),
            "client_secret": text(),
        }
    ),
    "TokenResponse": fields(
        {
            "access_token": text("a JWT, signed with RS256"),
            "token_type": text(examples=["Bearer"]),
            "expires_in": whole("seconds"),
        },
        required=["access_token", "token_type"],
    ),
    "TokenError": fields(
        {
            "error": text("by RFC 6749 section 5.2"),
            "error_description": text(),
            "success": flag(),
            "errorObject": fields({"code": text(), "message": text()}),
        },
        required=["error"],
    ),
}

PARAMETERS: dict[str, Schema] = {
    "accountId": in_path("accountId", "the account's id"),
    "offset": query("offset", whole(format="int64", minimum=0), "rows to pass over"),
    "limit": query(
        "limit", whole(format="int64", minimum=1, maximum=100), "rows of a page; 25 if not given"
    ),
    "nameFilter": query("name", text(), "part of the name, case aside"),
    "firstNameFilter": query("firstName", text(), "part of the first name, case aside"),
    "lastNameFilter": query("lastName", text(), "part of the last name, case aside"),
    "mobileFilter": query("mobile", text(), "part of the number, by its digits"),
    "emailFilter": query("email", text(), "part of the e-mail address, case aside"),
    "tagsFilter": query("tags", text(), "tags that all must be there, divided by commas"),
    "contactIdFilter": query("contactId", text(), "of this contact only"),
    "conversationIdFilter": query("conversationId", text(), "of this conversation only"),
}

SECURITY_SCHEMES: dict[str, Schema] = {
    "sakari_auth": {
        "type": "oauth2",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/oauth2/token",
                "scopes": {SCOPE: "everything that the API offers for the account"},
            }
        },
    }
}
