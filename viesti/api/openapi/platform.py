"""The operations outside of an account: tokens, shared files, health."""

from __future__ import annotations

from viesti.api.openapi.build import (
    JSON,
    Paths,
    answer,
    body,
    fields,
    operation,
    ref,
    text,
)
from viesti.api.openapi.examples import done

_REFUSED = {"content": {JSON: {"schema": ref("TokenError")}}}
_TOKEN = operation(
    "auth.token",
    "authentication",
    "Get an access token",
    description=(
        "OAuth2 client credentials (RFC 6749 section 4.4), as JSON, as a form, or with HTTP Basic."
    ),
    request=body(
        ref("TokenRequest"),
        {"grant_type": "client_credentials", "client_id": "...", "client_secret": "..."},
        application__x_www_form_urlencoded=ref("TokenRequest"),
    ),
    answers={
        "200": answer(
            ref("TokenResponse"),
            {"access_token": "eyJ0eXAi...", "token_type": "Bearer", "expires_in": 3600},
        ),
    },
    public=True,
)
_TOKEN["responses"] |= {
    "4XX": {"description": "RFC 6749 section 5.2, with our error beside it."} | _REFUSED,
}

PATHS: Paths = {
    "/oauth2/token": {"post": _TOKEN},
    "/v1/tools/sharefile": {
        "post": operation(
            "tools.shareFile",
            "tools",
            "Share a file by a short link",
            description="For use in a text, or as the media of an MMS. 10 MB, 30 days by default.",
            request={
                "required": True,
                "content": {
                    "application/octet-stream": {"schema": text(format="binary")},
                    "multipart/form-data": {
                        "schema": fields({"media": text(format="binary")}),
                    },
                },
            },
            answers={
                "200": answer(
                    ref("ShareFileResponse"),
                    done(
                        {
                            "link": "https://texts.example.com/f/Xk2b9QmV1c",
                            "expires": "2026-04-01T15:04:05.000Z",
                        }
                    ),
                )
            },
            refusals=["GEN-413", "GEN-415"],
        ),
    },
}
