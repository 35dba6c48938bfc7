"""What a change of a campaign does to its times; used by ``inputs`` and by resuming.

A change of anything else moves no time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from viesti.domain.campaigns.models import Campaign, ScheduleRefused, Trigger
from viesti.domain.campaigns.schedule import (
    BadSchedule,
    Frequency,
    check_cron,
    check_zone,
    to_instant,
)
from viesti.domain.campaigns.wire import CampaignInput, ScheduleInput, or_empty
from viesti.kit.clock import iso

_FIRST_YEAR, _LAST_YEAR = 2000, 2099


@dataclass(frozen=True, slots=True)
class Policy:
    """What the installation and the account have settled."""

    account_zone: str
    late: timedelta  # up to which a run is made up for
    allow_private: bool = False  # reports to loopback


def reschedule(
    old: Campaign, new: Campaign, given: CampaignInput, policy: Policy, now: datetime
) -> Campaign:
    written = or_empty(given.schedule or [], ScheduleInput())
    if given.schedule is not None:
        if written.timezone is not None or given.schedule == []:
            zone = (written.timezone or "").strip()
            new = replace(new, time_zone=check_zone(zone) if zone else "")
        if written.frequency is not None or given.schedule == []:
            new = replace(new, frequency=_frequency(written.frequency or ""))
        if written.cron is not None or given.schedule == []:
            cron = (written.cron or "").strip()
            new = replace(new, cron=check_cron(cron, now) if cron else "")
        if given.schedule == []:
            new = replace(new, starts_at=None)
    zone = new.time_zone or policy.account_zone
    shown = iso(old.next_run_at) if old.next_run_at else ""
    # Who puts back what was read moves nothing, least of all a time that a gap had shifted.
    is_new = given.next_execution != shown or new.frequency is not old.frequency
    if given.next_execution is not None and is_new:
        text = given.next_execution.strip()
        new = replace(new, starts_at=_moment(text, zone) if text else None)
    once_by_cron = new.frequency is Frequency.ONCE and new.cron
    if once_by_cron and (new.cron != old.cron or zone != (old.time_zone or policy.account_zone)):
        new = _first_by_cron(new, old, zone, now)
    if new.trigger is not Trigger.SCHEDULED:
        return replace(new, next_run_at=None)
    has_schedule = bool(new.frequency or new.cron)
    if given.next_execution is not None and new.starts_at is not None and not has_schedule:
        raise ScheduleRefused("nextExecution needs a schedule: a frequency (OD: once) or a cron.")
    if _timing(new) == _timing(old):
        return new
    if new.frequency and not new.cron and new.starts_at is None:
        raise ScheduleRefused("The schedule needs a cron, or nextExecution for its first time.")
    return replace(new, next_run_at=_next(new, old, policy, now))


def _first_by_cron(new: Campaign, old: Campaign, zone: str, now: datetime) -> Campaign:
    """A single run by cron is settled on its moment when it is written."""
    if new.starts_at is not None and new.starts_at != old.starts_at:
        return new
    by_cron = replace(new, frequency=None).schedule(zone)
    return replace(new, starts_at=by_cron.next_after(now))


def _next(new: Campaign, old: Campaign, policy: Policy, now: datetime) -> datetime | None:
    is_once = new.frequency is Frequency.ONCE
    if is_once and new.starts_at is not None and new.starts_at <= now:
        if now - new.starts_at < policy.late:
            return new.starts_at
        if new.starts_at != old.starts_at:
            raise ScheduleRefused("nextExecution lies in the past.")
    return new.schedule(policy.account_zone).next_after(now)


def _timing(campaign: Campaign) -> tuple[Any, ...]:
    return (
        campaign.trigger,
        campaign.frequency,
        campaign.time_zone,
        campaign.cron,
        campaign.starts_at,
    )


def _frequency(text: str) -> Frequency | None:
    word = text.strip().upper()
    try:
        return Frequency(word) if word else None
    except ValueError as error:
        raise BadSchedule("The schedule's frequency is one of OD, D, W, M.") from error


def _moment(text: str, zone: str) -> datetime:
    """A time with an offset, or else in the schedule's zone."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = to_instant(moment, ZoneInfo(zone))
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadSchedule("nextExecution is a time such as 2026-10-31T13:00:00Z.") from error
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise BadSchedule(f"nextExecution lies between {_FIRST_YEAR} and {_LAST_YEAR}.")
    return moment
