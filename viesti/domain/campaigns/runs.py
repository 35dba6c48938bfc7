"""Starts, pauses, resumes and cancels a campaign's runs; called by the API, the hub and ``launch``.

A run is a row for its moment and a job of ``domain/messages``, which does the sending. Whoever
commits a change here wakes what ``Acted`` names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from viesti.domain.campaigns.models import (
    Campaign,
    NotReady,
    Run,
    RunState,
    Trigger,
    WrongState,
)
from viesti.domain.campaigns.schedule import Frequency
from viesti.domain.campaigns.store import (
    find_active_runs,
    get_campaign,
    insert_run,
    update_campaign_row,
)
from viesti.domain.groups.queries import get_group
from viesti.domain.messages.control import Swept
from viesti.domain.messages.expansion import (
    JobRequest,
    cancel_job,
    create_job,
    pause_job,
    resume_job,
)
from viesti.domain.messages.matches import load_filters
from viesti.domain.messages.models import WakeHint
from viesti.kit.errors import Conflict
from viesti.kit.ids import new_id


@dataclass(slots=True)
class Acted:
    """The campaign as it is now, the run that was started, and whom to wake after the commit."""

    campaign: Campaign
    run: Run | None = None
    wake: list[WakeHint] = field(default_factory=list[WakeHint])
    has_events: bool = False

    def note(self, swept: Swept) -> None:
        self.wake += swept.wake
        self.has_events |= swept.has_events


def execute(
    conn: psycopg.Connection,
    account_id: UUID,
    campaign_id: str,
    credential_id: UUID | None,
    now: datetime,
) -> Acted:
    """Run a campaign now, whatever its trigger.

    Raises NotFound (CAMP-001; GRP-001 for its group), Conflict: CAMP-004 if it lacks recipients
    or a text, CAMP-005 while it is paused or a run is under way: a second click must not text
    everybody twice.
    """
    campaign = get_campaign(conn, account_id, campaign_id, lock=True)
    refuse_second(conn, campaign)
    run = start(conn, campaign, now, now, credential_id=credential_id)
    if run is None:
        raise WrongState("The campaign was started at this very moment.")
    return Acted(campaign, run)


def refuse_second(conn: psycopg.Connection, campaign: Campaign) -> None:
    """Raises WrongState (CAMP-005) if no run may start by hand now."""
    if campaign.paused_at is not None:
        raise WrongState("The campaign is paused: resume it first.")
    if find_active_runs(conn, campaign.account_id, campaign.id):
        raise WrongState("A run of the campaign is under way: wait for it, or cancel it.")


def start(
    conn: psycopg.Connection,
    campaign: Campaign,
    due_at: datetime,
    now: datetime,
    *,
    credential_id: UUID | None,
    missed: int = 0,
    send_at: datetime | None = None,
) -> Run | None:
    """Start the campaign's run for ``due_at``; None if that moment has its run already.

    ``send_at`` puts the reading of its recipients off. Raises NotReady (CAMP-004), NotFound
    (GRP-001) and what filters that cannot be understood raise.
    """
    check_ready(conn, campaign)
    if not campaign.filters:
        raise NotReady(
            "The campaign names no recipients: give filters with contacts, tags, a list,"
            " attributes or q."
            if campaign.trigger is not Trigger.FILE
            else "The campaign names no recipients: upload its file."
        )
    request = JobRequest(
        template=campaign.template,
        filters=load_filters(dict(campaign.filters)),
        type="MMS" if campaign.media else "SMS",
        media=[dict(item) for item in campaign.media],
        group_id=campaign.group_id or None,
        send_at=send_at,
        credential_id=credential_id,
        campaign_run_id=new_id(),
    )
    run = new_run(campaign, due_at, RunState.RUNNING, now, missed=missed)
    run = replace(run, id=request.campaign_run_id or run.id, job_id=request.job_id)
    if not insert_run(conn, run, look_at=send_at or now):
        return None
    create_job(conn, campaign.account_id, request, now)
    return run


def check_ready(conn: psycopg.Connection, campaign: Campaign) -> None:
    """Raises NotReady (CAMP-004) for a campaign without a text, NotFound (GRP-001).

    A run with a group that is none would be tried for ever and never end.
    """
    if not campaign.template.strip() and not campaign.media:
        raise NotReady("The campaign has no text: give it a template or media.")
    if campaign.group_id:
        get_group(conn, campaign.account_id, campaign.group_id)


def new_run(
    campaign: Campaign, due_at: datetime, state: RunState, now: datetime, **more: Any
) -> Run:
    return Run(
        account_id=campaign.account_id,
        id=new_id(),
        campaign_id=campaign.id,
        due_at=due_at,
        state=state,
        created_at=now,
        **more,
    )


def pause(conn: psycopg.Connection, account_id: UUID, campaign_id: str, now: datetime) -> Acted:
    """Start nothing of the campaign any more until it is resumed: no run, and no text of one.

    Texts that have begun to leave are not called back. Pausing again changes nothing.
    """
    campaign = get_campaign(conn, account_id, campaign_id, lock=True)
    acted = Acted(campaign)
    if campaign.paused_at is None:
        acted.campaign = replace(campaign, paused_at=now, updated_at=now)
        update_campaign_row(conn, acted.campaign)
    for run in find_active_runs(conn, account_id, campaign.id):
        _turn(conn, acted, run, pause_job, now)
    return acted


def resume(conn: psycopg.Connection, account_id: UUID, campaign_id: str, now: datetime) -> Acted:
    """Go on where ``pause`` stopped, or where a run was paused by itself.

    A time that passed meanwhile is late like any other (``launch``). Resuming what is not
    paused changes nothing.
    """
    campaign = get_campaign(conn, account_id, campaign_id, lock=True)
    acted = Acted(campaign)
    if campaign.paused_at is not None:
        acted.campaign = replace(campaign, paused_at=None, updated_at=now)
        update_campaign_row(conn, acted.campaign)
    for run in find_active_runs(conn, account_id, campaign.id):
        _turn(conn, acted, run, resume_job, now)
        look_again(conn, run, now)
    return acted


def cancel(conn: psycopg.Connection, account_id: UUID, campaign_id: str, now: datetime) -> Acted:
    """End the runs that are under way: texts that have not begun to leave are canceled.

    Their prices are released. A single run that is still to come is called off. Raises
    WrongState (CAMP-005) if there is neither.
    """
    campaign = get_campaign(conn, account_id, campaign_id, lock=True)
    acted = Acted(campaign)
    if not end_runs(conn, acted, now):
        if campaign.frequency is not Frequency.ONCE or campaign.next_run_at is None:
            raise WrongState("There is no run to cancel.")
        run = new_run(campaign, campaign.next_run_at, RunState.CANCELED, now, ended_at=now)
        insert_run(conn, run, look_at=None)
        acted.campaign = replace(campaign, next_run_at=None, updated_at=now)
    if acted.campaign.trigger is not Trigger.SCHEDULED:
        acted.campaign = replace(acted.campaign, paused_at=None)
    update_campaign_row(conn, acted.campaign)
    return acted


def end_runs(conn: psycopg.Connection, acted: Acted, now: datetime) -> bool:
    """Cancel every run of the campaign that is under way; whether there was one."""
    campaign = acted.campaign
    runs = find_active_runs(conn, campaign.account_id, campaign.id)
    # Before the first cancellation locks the balance: who reads a job's recipients holds the
    # job's row and takes the balance last.
    conn.execute(
        "SELECT 1 FROM jobs WHERE account_id = %s AND id = ANY(%s) ORDER BY id FOR UPDATE",
        (campaign.account_id, [run.job_id for run in runs]),
    )
    for run in runs:
        _turn(conn, acted, run, cancel_job, now)
        look_again(conn, run, now)
    return bool(runs)


def look_again(conn: psycopg.Connection, run: Run, now: datetime) -> None:
    """Have the ``work`` role see at once what became of ``run``."""
    conn.execute(
        "UPDATE campaign_runs SET look_at = %s WHERE account_id = %s AND id = %s",
        (now, run.account_id, run.id),
    )


def _turn(conn: psycopg.Connection, acted: Acted, run: Run, act: Any, now: datetime) -> None:
    if run.job_id is None:
        return
    try:
        acted.note(act(conn, run.account_id, run.job_id, now))
    except Conflict:
        # Somebody canceled the job itself; ``tend`` notes it on the run.
        look_again(conn, run, now)
