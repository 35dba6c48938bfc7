"""Campaigns and runs as clients see them: pure functions from rows to the wire's shape."""

from __future__ import annotations

from typing import Any

from viesti.domain.campaigns.models import Campaign, Run, When
from viesti.domain.contacts.views import error_view, moment_view, tags_view
from viesti.domain.messages.states import Status
from viesti.domain.messages.views import price_view
from viesti.kit.clock import iso

_FAILED = (Status.ERROR.value, Status.INVALID.value, Status.CANCELED.value)
_PAUSED = ("pausing", "paused")
_CANCELED = ("canceling", "canceled")


def campaign_view(
    campaign: Campaign,
    last: Run | None = None,
    list_name: str | None = None,
    report_secret: str | None = None,
) -> dict[str, Any]:
    """The newer schema ``Campaign``; a declared field without a value is left out."""
    view: dict[str, Any] = {
        "id": str(campaign.id),
        "name": campaign.name,
        "description": campaign.description,
        "template": campaign.template,
        "trigger": {"code": campaign.trigger.value, "name": campaign.trigger.label},
        "filters": _filters_view(campaign, list_name),
        "media": list(campaign.media),
        "fieldMappings": list(campaign.field_mappings),
        "reporting": _reporting_view(campaign),
        "created": moment_view(campaign.created_at),
        "updated": moment_view(campaign.updated_at),
    }
    if report_secret is not None and campaign.reporting:
        view["reporting"]["secret"] = report_secret
    if campaign.group_id:
        view["phoneNumberFilter"] = {"group": {"id": campaign.group_id}}
    schedule = {
        "frequency": campaign.frequency.value if campaign.frequency else "",
        "timezone": campaign.time_zone,
        "cron": campaign.cron,
    }
    if any(schedule.values()):
        view["schedule"] = {name: value for name, value in schedule.items() if value}
    if campaign.next_run_at is not None:
        view["nextExecution"] = iso(campaign.next_run_at)
    if campaign.paused_at is not None:
        view["paused"] = iso(campaign.paused_at)
    if last is not None:
        view["lastJob"] = last_job_view(last)
    return view


def last_job_view(run: Run) -> dict[str, Any]:
    """The schema ``Job`` of a run: ``submitted`` and ``failures`` are its recipients so far."""
    texts = sum(run.counts.values())
    failed = sum(run.counts.get(word, 0) for word in _FAILED)
    return {
        "id": str(run.job_id),
        "status": status_of(run),
        "submitted": texts - failed,
        "failures": failed + max(0, run.requested - texts),
        "invalid": list(run.invalid),
        "price": price_view(run.price_micros),
        "created": moment_view(run.created_at),
    }


def run_view(run: Run) -> dict[str, Any]:
    """A run of ours: when it was due, what it is now, and its texts by status."""
    view: dict[str, Any] = {
        "id": str(run.id),
        "status": status_of(run),
        "due": iso(run.due_at),
        "missed": run.missed,
        "requested": run.requested,
        "counts": dict(run.counts),
        "price": price_view(run.price_micros),
        "created": moment_view(run.created_at),
    }
    if run.job_id is not None:
        view |= {"job": {"id": str(run.job_id)}, **_tally(run)}
    if run.error_code is not None:
        view["error"] = error_view(run.error_code)
    if run.ended_at is not None:
        view["ended"] = iso(run.ended_at)
    if run.report_state:
        view["report"] = run.report_state
    return view


def status_of(run: Run) -> str:
    """``scheduled, running, paused, canceled, complete, failed, missed``."""
    if run.job_state in _CANCELED:
        return "canceled"
    if run.ended_at is None and run.job_state in _PAUSED:
        return "paused"
    # Only a quick campaign's run is made before its time.
    if run.ended_at is None and run.due_at > run.created_at and not run.requested:
        return "scheduled"
    return "running" if run.ended_at is None else run.state.value


def _tally(run: Run) -> dict[str, Any]:
    job = last_job_view(run)
    return {name: job[name] for name in ("submitted", "failures", "invalid")}


def _filters_view(campaign: Campaign, list_name: str | None) -> dict[str, Any]:
    view = dict(campaign.filters)
    if "tags" in view:
        view["tags"] = tags_view(view["tags"])
    if "list" in view:
        view["list"] = {"id": view["list"]} | ({"name": list_name} if list_name else {})
    return view


def _reporting_view(campaign: Campaign) -> dict[str, Any]:
    shown = {name: value for name, value in campaign.reporting.items() if name != "delay_s"}
    return shown or {"when": When.NEVER.value}
