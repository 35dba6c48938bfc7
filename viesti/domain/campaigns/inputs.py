"""Settles a campaign as clients write it on the stored form; used by ``service``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from viesti.domain.campaigns.models import (
    BadField,
    BadReporting,
    BadTrigger,
    Campaign,
    ScheduleRefused,
    Trigger,
    When,
)
from viesti.domain.campaigns.schedule import BadSchedule
from viesti.domain.campaigns.timing import Policy, reschedule
from viesti.domain.campaigns.wire import (
    CampaignInput,
    MappingInput,
    ReportingInput,
    TriggerInput,
    or_empty,
)
from viesti.domain.contacts.attributes import AttributeFilter, read_attribute
from viesti.domain.contacts.filters import FilterInput, read_filter
from viesti.domain.messages.models import MediaInput, PhoneNumberFilter
from viesti.domain.templates.render import compile_template
from viesti.kit.safe_http import UnsafeUrl, check_url

# Bounds of our own: no source gives any.
MAX_NAME = 200
MAX_TEXT = 2_000
MAX_WORD = 200
MAX_MAPPINGS = 200
MAX_MEDIA = 10
MAX_DELAY = timedelta(days=30)
_UNITS = {"minute": 60, "hour": 3_600, "day": 86_400}


def amend(campaign: Campaign, given: CampaignInput, policy: Policy, now: datetime) -> Campaign:
    """``campaign`` with what ``given`` says; the same object's values where it says nothing.

    Raises Invalid: TMPL-001 or -002 with the position, CAMP-002, -003, -006, -008.
    """
    changes: dict[str, Any] = {}
    if given.name is not None:
        changes["name"] = _text(given.name, "name", MAX_NAME) or "Campaign"
    if given.description is not None:
        changes["description"] = _text(given.description, "description", MAX_TEXT)
    if given.template is not None:
        compile_template(given.template)
        changes["template"] = given.template
    if given.media is not None:
        changes["media"] = parse_media(given.media)
    if isinstance(given.trigger, TriggerInput | str):
        changes["trigger"] = _trigger(given.trigger)
    if given.filters is not None:
        changes["filters"] = _filters(or_empty(given.filters, FilterInput()))
    if given.phone_number_filter is not None:
        group = or_empty(given.phone_number_filter, PhoneNumberFilter()).group
        changes["group_id"] = _text((group and group.id) or "", "group's id", MAX_WORD)
    if given.field_mappings is not None:
        changes["field_mappings"] = _mappings(given.field_mappings)
    if given.reporting is not None:
        changes["reporting"] = _reporting(
            or_empty(given.reporting, ReportingInput()), policy.allow_private
        )
    try:
        return reschedule(campaign, replace(campaign, **changes), given, policy, now)
    except BadSchedule as error:
        raise ScheduleRefused(str(error)) from error


def _trigger(given: TriggerInput | str) -> Trigger:
    code = (given if isinstance(given, str) else given.code or "").strip().upper()
    try:
        return Trigger(code) if code else Trigger.MANUAL
    except ValueError as error:
        raise BadTrigger(
            "The trigger's code is M (manual), S (scheduled) or FU (file upload);"
            " campaigns in several steps (V2) are not offered."
        ) from error


def _filters(given: FilterInput) -> dict[str, Any]:
    """What narrows, in one form; see ``Campaign.filters``.

    Contacts stay as they were written: an id that is none of ours matches nobody.
    """
    narrow = read_filter(given)
    written: list[Any] = given.contacts or []
    found: dict[str, Any] = {
        "contacts": [_text(_ref(entry), "contact's id", MAX_WORD) for entry in written],
        "tags": list(narrow.tags),
        "attributes": [_attribute(entry) for entry in given.attributes or ()],
        "list": narrow.lists[0] if len(narrow.lists) == 1 else None,
        "lists": list(narrow.lists) if len(narrow.lists) > 1 else None,
        "q": narrow.q,
        "firstName": narrow.first_name,
        "lastName": narrow.last_name,
        "email": narrow.email,
        "mobile": narrow.mobile,
        "valid": narrow.valid,
        "invalid": narrow.invalid,
        "blocked": narrow.blocked,
        "unblocked": narrow.unblocked,
        "optIn": narrow.opt_in,
    }
    return {name: value for name, value in found.items() if value}


def _ref(entry: Any) -> str:
    found = cast("dict[str, Any]", entry).get("id") if isinstance(entry, dict) else entry
    return "" if found is None else str(found)


def _attribute(written: AttributeFilter | str) -> dict[str, Any]:
    """A clause as an object, its value as it was written; ``read_filter`` has checked it."""
    if isinstance(written, AttributeFilter):
        name = written.attribute or written.name
        return {"attribute": name, "comparator": written.comparator, "value": written.value}
    clause = read_attribute(written)
    comparator = "!=" if clause.comparator == "<>" else clause.comparator
    value = clause.values[0] if len(clause.values) == 1 else list(clause.values)
    return {"attribute": clause.name, "comparator": comparator, "value": value}


def parse_media(given: Sequence[MediaInput]) -> list[dict[str, Any]]:
    """The URLs of ``given``. Raises BadField."""
    if len(given) > MAX_MEDIA:
        raise BadField(f"A campaign takes at most {MAX_MEDIA} media items.")
    media: list[dict[str, Any]] = []
    for item in given:
        url = _text(item.url or "", "media's url", MAX_TEXT)
        if not url.lower().startswith(("http://", "https://")):
            raise BadField("Each media item needs a url that begins with http:// or https://.")
        media.append({"url": url})
    return media


def _mappings(given: Sequence[MappingInput]) -> list[dict[str, Any]]:
    if len(given) > MAX_MAPPINGS:
        raise BadField(f"A campaign takes at most {MAX_MAPPINGS} field mappings.")
    mappings: list[dict[str, Any]] = []
    for entry in given:
        attribute = _text(entry.attribute or "", "field mapping's attribute", MAX_WORD)
        column = _text(entry.column or "", "field mapping's column", MAX_WORD)
        if not attribute or not column:
            raise BadField("A field mapping needs an attribute and a column.")
        mappings.append(
            {"attribute": attribute, "column": column, "mandatory": bool(entry.mandatory)}
        )
    return mappings


def _reporting(given: ReportingInput, allow_private: bool) -> dict[str, Any]:
    """``{}`` for no report, else when, destination and, if delayed, delay_s beside the words."""
    try:
        when = When(given.when or When.NEVER.value)
    except ValueError as error:
        raise BadReporting("reporting.when is one of NoReport, OnCompletion, Delayed.") from error
    if when is When.NEVER:
        return {}
    destination = (given.destination or "").strip()
    if "@" in destination and "://" not in destination:
        raise BadReporting(
            "Reports are not sent by e-mail yet: give a URL, or fetch the campaign's runs."
        )
    try:
        check_url(destination, allow_private)
    except UnsafeUrl as error:
        raise BadReporting(f"reporting.destination: {error.message}") from error
    reporting: dict[str, Any] = {"when": when.value, "destination": destination}
    if when is When.DELAYED:
        unit = (given.unit or "minutes").strip()
        seconds = _UNITS.get(unit.lower().removesuffix("s"))
        delay = _number(given.delay)
        if (
            seconds is None
            or delay is None
            or not 0 <= delay * seconds <= MAX_DELAY.total_seconds()
        ):
            raise BadReporting(
                "A delayed report needs a delay of up to 30 days; its unit is minutes, hours or"
                " days."
            )
        reporting |= {"delay": str(given.delay), "unit": unit, "delay_s": delay * seconds}
    return reporting


def _number(given: str | int | float | None) -> float | None:
    try:
        return float(given) if given is not None else None
    except (ValueError, OverflowError):
        return None


def _text(given: str, what: str, longest: int) -> str:
    text = given.strip()
    if len(text) > longest:
        raise BadField(f"The {what} is longer than {longest} characters.")
    return text
