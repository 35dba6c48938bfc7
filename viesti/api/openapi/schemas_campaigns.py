"""The schemas of campaigns and lists."""

from __future__ import annotations

from viesti.api.openapi.build import (
    Schema,
    enum,
    envelope,
    fields,
    flag,
    many,
    moment,
    number,
    page_of,
    ref,
    text,
    whole,
)

_ID = text("Opaque; set by the platform.")
_ATTRIBUTES: Schema = {
    "type": "array",
    "description": "`name=value` texts, or objects with attribute, comparator and value",
    "items": {},
}

_CODE = enum("M", "S", "FU", description="by hand, by schedule, or by file upload")
_MEDIA = many(fields({"url": text()}))
_GROUP = fields({"group": fields({"id": text()})}, "Send from a number of this group.")
_SCHEDULE = fields(
    {
        "frequency": text("OD once, D daily, W weekly, M monthly"),
        "timezone": text("an IANA time zone"),
        "cron": text("a cron expression, read in the time zone"),
    }
)
_MAPPINGS = many(
    fields({"attribute": text(), "column": text(), "mandatory": flag()}),
    "which column of an uploaded file fills which field",
)
_COUNTS: dict[str, Schema] = {
    "submitted": whole("texts on their way or gone"),
    "failures": whole("recipients without a text, and texts that failed"),
    "price": number("dollars"),
    "invalid": many({"type": "object"}),
}

SCHEMAS: dict[str, Schema] = {
    "CampaignRequest": fields(
        {
            "name": text(),
            "description": text(),
            "template": text("the text, with placeholders"),
            "trigger": fields({"code": _CODE}),
            "filters": fields(
                {
                    "contacts": many(text(), "ids"),
                    "tags": many(text()),
                    "list": text("a list's id"),
                    "q": text("part of a name, number or e-mail address"),
                    "attributes": _ATTRIBUTES,
                },
                "Whom it is for; each clause narrows further.",
            ),
            "schedule": _SCHEDULE,
            "nextExecution": moment(),
            "media": _MEDIA,
            "phoneNumberFilter": _GROUP,
            "fieldMappings": _MAPPINGS,
            "reporting": fields(
                {
                    "when": text("NoReport, OnCompletion or Delayed"),
                    "delay": text(),
                    "unit": text(),
                    "destination": text("a URL"),
                }
            ),
        }
    ),
    "Campaign": fields(
        {
            "id": _ID,
            "name": text(),
            "description": text(),
            "template": text(),
            "trigger": fields({"code": _CODE, "name": text()}),
            "filters": fields(
                {
                    "contacts": many(text(), "ids"),
                    "tags": many(ref("Tag")),
                    "list": fields({"id": text(), "name": text()}),
                    "q": text(),
                    "attributes": _ATTRIBUTES,
                }
            ),
            "schedule": _SCHEDULE,
            "nextExecution": moment("when it runs next"),
            "paused": moment("since when it is paused"),
            "media": _MEDIA,
            "phoneNumberFilter": _GROUP,
            "fieldMappings": _MAPPINGS,
            "reporting": {"type": "object"},
            "lastJob": ref("CampaignJob"),
            "created": ref("Updated"),
            "updated": ref("Updated"),
        }
    ),
    "CampaignJob": fields(
        {"id": _ID, "status": text()} | _COUNTS | {"created": ref("Updated")},
        "The last run.",
    ),
    "CampaignRun": fields(
        {
            "id": _ID,
            "status": text("scheduled, running, paused, canceled, complete, failed or missed"),
            "due": moment("when it was to begin"),
            "missed": whole("how many times were missed before it"),
            "requested": whole("recipients"),
            "counts": {"type": "object", "description": "texts by status"},
            "job": fields({"id": text()}),
            "error": ref("Error"),
            "report": text("whether the report went out"),
            "created": ref("Updated"),
            "ended": moment(),
        }
        | _COUNTS
    ),
    "CampaignResponse": envelope(ref("Campaign")),
    "CampaignsResponse": page_of(ref("Campaign")),
    "CampaignRunsResponse": page_of(ref("CampaignRun")),
    "QuickCampaignRequest": fields(
        {
            "name": text(),
            "groupId": text("the group whose number sends"),
            "listId": text("the list that it is for"),
            "message": fields({"message": text(), "media": _MEDIA}),
            "sendAt": moment("absent: now"),
        },
        required=["name", "groupId", "listId", "message"],
    ),
    "QuickCampaignResponse": envelope(
        fields({"campaign": ref("Campaign"), "job": ref("CampaignJob")})
    ),
}
