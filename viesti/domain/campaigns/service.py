"""Creates, changes and deletes campaigns, and quick ones in one step; called by the API, the hub."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.campaigns.inputs import amend
from viesti.domain.campaigns.models import BadField, Campaign, Run
from viesti.domain.campaigns.runs import Acted, end_runs, start
from viesti.domain.campaigns.store import (
    find_last_runs,
    find_list_names,
    get_campaign,
    insert_campaign,
    update_campaign_row,
)
from viesti.domain.campaigns.timing import Policy
from viesti.domain.campaigns.views import campaign_view
from viesti.domain.campaigns.wire import CampaignInput, QuickInput
from viesti.domain.contacts.filters import FilterInput
from viesti.domain.lists.service import get_list
from viesti.domain.messages.models import GroupRef, PhoneNumberFilter
from viesti.domain.messages.schedule import read_send_at
from viesti.domain.messages.terms import get_terms
from viesti.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class House:
    """What the installation has settled about campaigns."""

    late: timedelta  # up to which a run is made up for
    allow_private: bool = False  # reports to loopback

    def policy(self, conn: psycopg.Connection, account_id: UUID) -> Policy:
        zone = get_terms(conn, account_id).time_zone
        return Policy(zone, self.late, self.allow_private)


def create_campaign(
    conn: psycopg.Connection,
    account_id: UUID,
    given: CampaignInput,
    house: House,
    credential_id: UUID | None,
    now: datetime,
) -> Campaign:
    """A campaign as ``given``; what is left out may be put in later, before it runs.

    Raises Invalid: TMPL-001 or -002 with the position, CAMP-002, -003, -006, -008.
    """
    blank = Campaign(account_id, new_id(), created_at=now, updated_at=now)
    campaign = amend(blank, given, house.policy(conn, account_id), now)
    insert_campaign(conn, campaign, credential_id)
    return campaign


def update_campaign(
    conn: psycopg.Connection,
    account_id: UUID,
    campaign_id: str,
    given: CampaignInput,
    house: House,
    now: datetime,
) -> Campaign:
    """The campaign with what ``given`` says; the rest stays. Raises as creating does, CAMP-001.

    A run that is under way goes on as it began.
    """
    campaign = get_campaign(conn, account_id, campaign_id, lock=True)
    changed = amend(campaign, given, house.policy(conn, account_id), now)
    if changed != campaign:
        changed = replace(changed, updated_at=now)
        update_campaign_row(conn, changed)
    return changed


def delete_campaign(
    conn: psycopg.Connection, account_id: UUID, campaign_id: str, now: datetime
) -> Acted:
    """Delete a campaign; what of its runs has not begun to leave is canceled.

    Its texts stay for the books. Raises NotFound (CAMP-001).
    """
    acted = Acted(get_campaign(conn, account_id, campaign_id, lock=True))
    end_runs(conn, acted, now)
    conn.execute(
        "UPDATE campaigns SET deleted_at = %s, next_run_at = NULL"
        " WHERE account_id = %s AND id = %s",
        (now, account_id, acted.campaign.id),
    )
    return acted


def quick_campaign(
    conn: psycopg.Connection,
    account_id: UUID,
    given: QuickInput,
    house: House,
    credential_id: UUID | None,
    now: datetime,
) -> Acted:
    """A campaign to a list that runs at once, or at ``sendAt``.

    Raises Invalid: CAMP-008 for a field that is missing, and as creating does; NotFound
    (LIST-001, GRP-001).
    """
    message = given.message
    absent = [
        name
        for name, value in (
            ("name", given.name),
            ("listId", given.list_id),
            ("message", message and (message.message or message.media)),
        )
        if not value
    ]
    if absent or message is None:
        raise BadField(f"A quick campaign needs {', '.join(absent)}.")
    group = str(given.group_id) if given.group_id is not None else ""
    whole = CampaignInput(
        name=given.name,
        template=message.message or "",
        media=message.media,
        filters=FilterInput(list_=str(given.list_id)),
        phone_number_filter=PhoneNumberFilter(GroupRef(group)) if group else None,
    )
    send_at = read_send_at(given.send_at, now)
    get_list(conn, account_id, str(given.list_id))
    campaign = create_campaign(conn, account_id, whole, house, credential_id, now)
    run = start(conn, campaign, send_at or now, now, credential_id=credential_id, send_at=send_at)
    return Acted(campaign, run)


def show_campaigns(
    conn: psycopg.Connection,
    account_id: UUID,
    campaigns: list[Campaign],
    report_secret: str | None = None,
) -> list[dict[str, Any]]:
    """The campaigns with their last jobs, as counted last.

    ``report_secret``, by which receivers of reports verify them, is shown where it is given.
    """
    last: dict[UUID, Run] = find_last_runs(conn, account_id, [c.id for c in campaigns])
    names = find_list_names(conn, account_id, campaigns)
    return [
        campaign_view(
            campaign,
            last.get(campaign.id),
            list_name=names.get(campaign.filters.get("list", "")),
            report_secret=report_secret,
        )
        for campaign in campaigns
    ]
