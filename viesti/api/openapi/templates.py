"""The operations on templates."""

from __future__ import annotations

from typing import Any

from viesti.api.openapi.build import (
    ACCOUNT,
    PAGE,
    Paths,
    answer,
    body,
    in_path,
    listed,
    operation,
    parameter,
    query,
    ref,
    text,
)
from viesti.api.openapi.examples import CONTACT_IN, TEMPLATE, TEMPLATE_IN, done

_TAG = "templates"
_ACCOUNT_ID = parameter("accountId")
_PREVIEW: dict[str, Any] = {
    "message": "Hi Ada, see you at 3",
    "type": "SMS",
    "segments": 1,
    "encoding": "gsm7",
    "price": 0.032,
    "unicodeCharacters": [],
}
_STORED = ["TMPL-001", "TMPL-002", "TMPL-005", "GEN-415"]
_ONE = [_ACCOUNT_ID, in_path("templateId", "the template's id")]

PATHS: Paths = {
    f"{ACCOUNT}/templates": {
        "get": listed(
            "templates.fetchAll",
            _TAG,
            "List templates",
            "TemplatesResponse",
            TEMPLATE,
            parameters=[parameter("nameFilter")],
        ),
        "post": operation(
            "templates.create",
            _TAG,
            "Create a template",
            parameters=[_ACCOUNT_ID],
            request=body(ref("TemplateRequest"), TEMPLATE_IN),
            answers={
                "201": answer(
                    ref("TemplatesResponse"),
                    {"success": True, "data": [TEMPLATE], "pagination": PAGE},
                )
            },
            refusals=[*_STORED, "TMPL-006"],
        ),
    },
    f"{ACCOUNT}/templates/preview": {
        "post": operation(
            "templates.preview",
            _TAG,
            "Preview a template for a contact",
            description="Template and contact may each be stored (by id) or given.",
            parameters=[_ACCOUNT_ID],
            request=body(
                ref("PreviewRequest"),
                {"template": TEMPLATE["template"], "contact": CONTACT_IN},
            ),
            answers={"200": answer(ref("PreviewResponse"), done(_PREVIEW))},
            refusals=["CONT-001", "CONT-002", "TMPL-001", "TMPL-002", "TMPL-004", "GEN-415"],
        ),
    },
    f"{ACCOUNT}/templates/{{templateId}}/preview": {
        "get": operation(
            "templates.previewStored",
            _TAG,
            "Preview a stored template for a contact",
            parameters=[*_ONE, query("contactId", text(), "the contact's id")],
            answers={"200": answer(ref("PreviewResponse"), done(_PREVIEW))},
            refusals=["CONT-002", "TMPL-004"],
        ),
    },
    f"{ACCOUNT}/templates/{{templateId}}": {
        "get": operation(
            "templates.fetch",
            _TAG,
            "Fetch a template",
            parameters=_ONE,
            answers={"200": answer(ref("TemplateResponse"), done(TEMPLATE))},
            refusals=["TMPL-004"],
        ),
        "put": operation(
            "templates.update",
            _TAG,
            "Change a template",
            description="Given fields change, absent ones stay.",
            parameters=_ONE,
            request=body(ref("TemplateRequest"), TEMPLATE_IN, required=False),
            answers={"200": answer(ref("TemplateResponse"), done(TEMPLATE))},
            refusals=[*_STORED, "TMPL-004"],
        ),
        "delete": operation(
            "templates.remove",
            _TAG,
            "Delete a template",
            parameters=_ONE,
            answers={"200": answer(ref("SuccessResponse"), {"success": True})},
            refusals=["TMPL-004"],
        ),
    },
}
