"""When a campaign runs: from a schedule in a time zone to moments in UTC; pure.

Everything is reckoned in naive local time and localised last, by two rules (docs/decisions,
0009): a local time that does not exist comes at the first moment after the gap, and one that
exists twice comes the first time. So no day is skipped and none counts twice, whatever the
clocks do.
"""

from __future__ import annotations

import calendar
import enum
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterError

# The five fields of cron in numbers, ranges, lists, steps; names of months and days; L and #.
_CRON_FIELD = re.compile(r"[0-9A-Za-z*?/,#-]+", re.ASCII)
_CRON_WORD = re.compile(r"[A-Za-z]+", re.ASCII)
_CRON_WORDS = re.compile(
    "SUN|MON|TUE|WED|THU|FRI|SAT|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|L", re.I | re.A
)
CRON_FIELDS = 5
MAX_CRON = 100
# 29 February is eight years away around a year such as 2100.
_CRON_YEARS = 9
# So many missed times are counted one by one; a schedule that was longer away missed "at least".
MAX_MISSED = 1_000


class Frequency(enum.StrEnum):
    """``frequency`` of the contract's schedule (product decisions, "campaigns")."""

    ONCE = "OD"
    DAILY = "D"
    WEEKLY = "W"
    MONTHLY = "M"


class BadSchedule(ValueError):
    """The message is a sentence that says what cannot be used."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """``zone`` is an IANA name; ``cron`` decides, if there is one, except for a single run.

    A single run comes at ``starts_at``. Without cron the local time of ``starts_at`` comes again each day or week, or each month on
    its day (the last one of a shorter month).
    """

    zone: str
    frequency: Frequency | None = None
    cron: str = ""
    starts_at: datetime | None = None

    def next_after(self, moment: datetime) -> datetime | None:
        """The first run after ``moment``, aware UTC; None if there is none."""
        zone = _zone(self.zone)
        if self.frequency is Frequency.ONCE:
            return self.starts_at if self.starts_at and self.starts_at > moment else None
        if self.cron:
            return _next_cron(self.cron, zone, moment)
        if self.starts_at is None or self.frequency is None:
            return None
        if self.starts_at > moment:
            return self.starts_at
        return _next_repeat(self.frequency, self.starts_at, zone, moment)


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What became of the times up to now: at most one fires, the others were missed."""

    fire: datetime | None
    missed: int
    next: datetime | None


def catch_up(schedule: Schedule, due: datetime, now: datetime, late: timedelta) -> CatchUp:
    """From ``due``, the first time that nobody served, to ``now``.

    The latest time fires if it is less than ``late`` ago: one late run stands for all that
    passed meanwhile. ``missed`` counts the rest, from ``MAX_MISSED`` on a lower bound.
    """
    latest = due
    count = 0
    at: datetime | None = due
    while at is not None and at <= now:
        latest = at
        count += 1
        after = max(at, now - late) if count == MAX_MISSED else at
        at = schedule.next_after(after)
    if count and now - latest < late:
        return CatchUp(latest, count - 1, at)
    return CatchUp(None, count, at)


def check_zone(name: str) -> str:
    """``name`` as a time zone. Raises BadSchedule."""
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, LookupError) as error:
        raise BadSchedule(
            "The schedule's timezone is not a name such as Europe/London or America/New_York."
        ) from error


def check_cron(text: str, now: datetime) -> str:
    """``text`` with single spaces. Raises BadSchedule if it cannot be read or never comes."""
    fields = text.split()
    if len(text) > MAX_CRON or len(fields) != CRON_FIELDS or not all(map(_is_cron_field, fields)):
        raise BadSchedule(
            "The schedule's cron has five fields: minute, hour, day of month, month, day of week."
        )
    cron = " ".join(fields)
    try:
        croniter(cron, now.replace(tzinfo=None), max_years_between_matches=_CRON_YEARS).get_next()
    except (CroniterError, ValueError, KeyError, IndexError) as error:
        raise BadSchedule("The schedule's cron cannot be read, or never comes.") from error
    return cron


def to_instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The moment of the naive time ``local`` in ``zone``, by the rules of this module; UTC."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None, fold=0) == local:
        return moment
    # In a gap fold 0 reads with the offset before it, which lands behind the gap, and fold 1
    # with the one after it, which lands before (PEP 495). The gap's end lies between.
    after = int(moment.timestamp())
    before = int(local.replace(tzinfo=zone, fold=1).timestamp())
    offset = _offset(after, zone)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(middle, zone) == offset:
            after = middle
        else:
            before = middle
    return datetime.fromtimestamp(after, UTC)


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    """Names were checked when they were stored; one that is gone since must not stop others."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return ZoneInfo("UTC")


def _offset(timestamp: int, zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(timestamp, zone).utcoffset()


def _is_cron_field(text: str) -> bool:
    words = _CRON_WORD.findall(text)
    return bool(_CRON_FIELD.fullmatch(text)) and all(map(_CRON_WORDS.fullmatch, words))


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _next_cron(cron: str, zone: ZoneInfo, moment: datetime) -> datetime | None:
    # croniter only counts on a clock without zones; its own zones are not relied upon.
    times = croniter(
        cron, _local(moment, zone), ret_type=datetime, max_years_between_matches=_CRON_YEARS
    )
    while True:
        try:
            local: datetime = times.get_next()
        except CroniterError:
            return None
        at = to_instant(local, zone)
        # In the second pass of a doubled hour the local times come that had their turn.
        if at > moment:
            return at


def _next_repeat(
    frequency: Frequency, starts_at: datetime, zone: ZoneInfo, moment: datetime
) -> datetime:
    anchor = _local(starts_at, zone)
    step = _steps_before(frequency, anchor, _local(moment, zone))
    while True:
        at = to_instant(_nth(frequency, anchor, step), zone)
        if at > moment:
            return at
        step += 1


def _steps_before(frequency: Frequency, anchor: datetime, local: datetime) -> int:
    """How many whole steps lie between the two, or one fewer."""
    if frequency is Frequency.MONTHLY:
        months = (local.year - anchor.year) * 12 + local.month - anchor.month
        return max(0, months - 1)
    days = 7 if frequency is Frequency.WEEKLY else 1
    return max(0, (local - anchor).days // days - 1)


def _nth(frequency: Frequency, anchor: datetime, step: int) -> datetime:
    if frequency is not Frequency.MONTHLY:
        return anchor + timedelta(days=step * (7 if frequency is Frequency.WEEKLY else 1))
    months = anchor.year * 12 + anchor.month - 1 + step
    year, month = months // 12, months % 12 + 1
    day = min(anchor.day, _last_day(year, month))
    return anchor.replace(year=year, month=month, day=day)


@lru_cache(maxsize=256)
def _last_day(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]
