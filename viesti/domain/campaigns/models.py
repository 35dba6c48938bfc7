"""A campaign and its runs as stored, and the errors about them; used by the rest of the room."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from viesti.domain.campaigns.schedule import Frequency, Schedule
from viesti.kit.errors import Conflict, Invalid, NotFound


class CampaignNotFound(NotFound):
    default_code = "CAMP-001"


class BadTrigger(Invalid):
    default_code = "CAMP-002"


class ScheduleRefused(Invalid):
    default_code = "CAMP-003"


class NotReady(Conflict):
    """The campaign lacks what a run needs."""

    default_code = "CAMP-004"


class WrongState(Conflict):
    """There is nothing to pause, resume or cancel, or a run is under way already."""

    default_code = "CAMP-005"


class BadReporting(Invalid):
    default_code = "CAMP-006"


class BadFile(Invalid):
    default_code = "CAMP-007"


class BadField(Invalid):
    default_code = "CAMP-008"


class Trigger(enum.StrEnum):
    """What makes a campaign run (product decisions, "campaigns"); all may run by hand too."""

    MANUAL = "M"
    SCHEDULED = "S"
    FILE = "FU"

    @property
    def label(self) -> str:
        return {"M": "Manual", "S": "Scheduled", "FU": "File upload"}[self.value]


class When(enum.StrEnum):
    """``reporting.when``."""

    NEVER = "NoReport"
    AT_END = "OnCompletion"
    DELAYED = "Delayed"


class RunState(enum.StrEnum):
    """The states of a run; whether its texts are paused is its job's to say."""

    READING = "reading"  # rows of its file are not yet texts -> running, canceled, failed
    RUNNING = "running"  # texts are on their way -> complete, canceled
    COMPLETE = "complete"  # end: nothing is on its way
    CANCELED = "canceled"  # end
    FAILED = "failed"  # end: it could not start
    MISSED = "missed"  # end: its time passed while nothing ran


ACTIVE = frozenset({RunState.READING, RunState.RUNNING})


@dataclass(frozen=True, slots=True)
class Campaign:
    """``filters`` is in the wire's shape, settled on one form; empty texts mean "none"."""

    account_id: UUID
    id: UUID
    created_at: datetime
    updated_at: datetime
    name: str = "Campaign"
    description: str = ""
    template: str = ""
    media: Sequence[Mapping[str, Any]] = ()
    trigger: Trigger = Trigger.MANUAL
    filters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    group_id: str = ""
    frequency: Frequency | None = None
    time_zone: str = ""
    cron: str = ""
    starts_at: datetime | None = None
    next_run_at: datetime | None = None
    paused_at: datetime | None = None
    field_mappings: Sequence[Mapping[str, Any]] = ()
    reporting: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def schedule(self, account_zone: str) -> Schedule:
        return Schedule(
            self.time_zone or account_zone, self.frequency, self.cron, starts_at=self.starts_at
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One time that a campaign ran, or should have.

    ``requested`` counts its recipients so far, ``counts`` their texts by status. ``missed``
    counts the times that passed by: those of a missed run, or those that a late one stands for.
    """

    account_id: UUID
    id: UUID
    campaign_id: UUID
    due_at: datetime
    state: RunState
    created_at: datetime
    job_id: UUID | None = None
    missed: int = 0
    error_code: str | None = None
    requested: int = 0
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    price_micros: int = 0
    invalid: Sequence[Mapping[str, Any]] = ()
    ended_at: datetime | None = None
    report_state: str = ""
    job_state: str = ""  # of the job; empty: it has none
