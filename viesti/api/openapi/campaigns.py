"""The operations on campaigns."""

from __future__ import annotations

from typing import Any

from viesti.api.openapi.build import (
    ACCOUNT,
    IDEMPOTENCY_KEY,
    Paths,
    Schema,
    answer,
    body,
    csv_body,
    in_path,
    listed,
    operation,
    parameter,
    ref,
)
from viesti.api.openapi.examples import (
    AT,
    CAMPAIGN,
    CAMPAIGN_IN,
    JOB_ID,
    QUICK_CAMPAIGN_IN,
    RUN_ID,
    done,
)

_TAG = "campaigns"
_ACCOUNT_ID = parameter("accountId")
_ONE = [_ACCOUNT_ID, in_path("campaignId", "the campaign's id")]
_WRITTEN = ("TMPL-001", "TMPL-002", "CAMP-002", "CAMP-003", "CAMP-006", "CAMP-008", "GEN-415")
_FOUND = {"200": answer(ref("CampaignResponse"), done(CAMPAIGN))}
_LAST_JOB: dict[str, Any] = {
    "id": JOB_ID,
    "status": "running",
    "submitted": 2,
    "failures": 0,
    "price": 0.064,
    "invalid": [],
    "created": AT,
}
_RUN: dict[str, Any] = {
    "id": RUN_ID,
    "status": "complete",
    "due": AT["at"],
    "missed": 0,
    "requested": 2,
    "submitted": 2,
    "failures": 0,
    "invalid": [],
    "counts": {"delivered": 2},
    "price": 0.064,
    "job": {"id": JOB_ID},
    "created": AT,
    "ended": AT["at"],
}


def _act(
    name: str,
    summary: str,
    description: str,
    *refusals: str,
    parameters: list[Schema] | None = None,
) -> Paths:
    """A call without a body that answers the campaign."""
    return {
        f"{ACCOUNT}/campaigns/{{campaignId}}/{name}": {
            "post": operation(
                f"campaigns.{name}",
                _TAG,
                summary,
                description=description,
                parameters=parameters or _ONE,
                answers=_FOUND,
                refusals=["CAMP-001", *refusals],
            )
        }
    }


PATHS: Paths = {
    f"{ACCOUNT}/campaigns": {
        "get": listed(
            "campaigns.fetchAll",
            _TAG,
            "List campaigns",
            "CampaignsResponse",
            CAMPAIGN,
            description="Newest first.",
            parameters=[parameter("nameFilter")],
        ),
        "post": operation(
            "campaigns.create",
            _TAG,
            "Create a campaign",
            parameters=[_ACCOUNT_ID],
            request=body(ref("CampaignRequest"), CAMPAIGN_IN),
            answers={"201": answer(ref("CampaignResponse"), done(CAMPAIGN))},
            refusals=_WRITTEN,
        ),
    },
    f"{ACCOUNT}/campaigns/{{campaignId}}": {
        "get": operation(
            "campaigns.fetch",
            _TAG,
            "Fetch a campaign",
            parameters=_ONE,
            answers=_FOUND,
            refusals=["CAMP-001"],
        ),
        "put": operation(
            "campaigns.update",
            _TAG,
            "Change a campaign",
            description="Given fields change, absent ones stay.",
            parameters=_ONE,
            request=body(ref("CampaignRequest"), CAMPAIGN_IN, required=False),
            answers=_FOUND,
            refusals=["CAMP-001", *_WRITTEN],
        ),
        "delete": operation(
            "campaigns.remove",
            _TAG,
            "Delete a campaign",
            parameters=_ONE,
            answers={"200": answer(ref("SuccessResponse"), {"success": True})},
            refusals=["CAMP-001"],
        ),
    },
    **_act(
        "execute",
        "Run a campaign now",
        "Whatever its trigger. Refused while a run is under way or the campaign is paused.",
        "CAMP-004",
        "CAMP-005",
        "GEN-409",
        "GEN-422",
        "GRP-001",
        parameters=[*_ONE, IDEMPOTENCY_KEY],
    ),
    **_act("pause", "Pause a campaign", "Starts no run and no text of one until it is resumed."),
    **_act("resume", "Resume a campaign", "Goes on where the pause stopped."),
    **_act(
        "cancel",
        "Cancel a campaign's run",
        "Texts that have not begun to leave are canceled, their prices released.",
        "CAMP-005",
    ),
    f"{ACCOUNT}/campaigns/{{campaignId}}/file": {
        "post": operation(
            "campaigns.upload",
            _TAG,
            "Run a campaign for a CSV file",
            description="Each row is a contact, and a text to it; `fieldMappings` name its columns.",
            parameters=[*_ONE, IDEMPOTENCY_KEY],
            request=csv_body(),
            answers=_FOUND,
            refusals=[
                "CAMP-001",
                "CAMP-004",
                "CAMP-005",
                "CAMP-007",
                "GEN-409",
                "GEN-422",
                "GRP-001",
                "IMP-001",
                "IMP-002",
            ],
        )
    },
    f"{ACCOUNT}/campaigns/{{campaignId}}/runs": {
        "get": listed(
            "campaigns.runs",
            _TAG,
            "List a campaign's runs",
            "CampaignRunsResponse",
            _RUN,
            description="Latest first, missed ones among them, with counts of texts by status.",
            parameters=[_ONE[1]],
            refusals=["CAMP-001"],
        )
    },
    f"{ACCOUNT}/quickcampaigns": {
        "post": operation(
            "campaigns.quick",
            _TAG,
            "Text a list",
            description="A campaign to a list that runs at once, or at `sendAt`.",
            parameters=[_ACCOUNT_ID, IDEMPOTENCY_KEY],
            request=body(ref("QuickCampaignRequest"), QUICK_CAMPAIGN_IN),
            answers={
                "200": answer(
                    ref("QuickCampaignResponse"), done({"campaign": CAMPAIGN, "job": _LAST_JOB})
                )
            },
            refusals=[
                "TMPL-001",
                "TMPL-002",
                "CAMP-008",
                "LIST-001",
                "GRP-001",
                "GEN-409",
                "GEN-415",
                "GEN-422",
            ],
        )
    },
}
