"""Schedule arithmetic: each local time comes once, whatever the clocks do."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from viesti.domain.campaigns.schedule import (
    MAX_MISSED,
    BadSchedule,
    Frequency,
    Schedule,
    catch_up,
    check_cron,
    check_zone,
    to_instant,
)

NEW_YORK = "America/New_York"
HOUR = timedelta(hours=1)
ZONES = sorted(
    name
    for name in zoneinfo.available_timezones()
    if "/" in name and not name.startswith(("posix/", "right/", "Etc/"))
)
zones = st.sampled_from(ZONES)
# 1990 to 2037: the rules of time zones are settled for this span.
moments = st.integers(631_152_000, 2_114_380_800).map(lambda s: datetime.fromtimestamp(s, UTC))
minutes = st.times().map(lambda t: t.replace(second=0, microsecond=0))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def runs(schedule: Schedule, since: datetime, until: datetime) -> list[datetime]:
    found: list[datetime] = []
    at = schedule.next_after(since)
    while at is not None and at <= until:
        found.append(at)
        at = schedule.next_after(at)
    return found


def daily(kind: str, at: time, zone: str, since: datetime) -> Schedule:
    """A schedule that comes each day at local time ``at``, as cron or by frequency."""
    if kind == "cron":
        return Schedule(zone, cron=f"{at.minute} {at.hour} * * *")
    first = datetime.combine(since.astimezone(ZoneInfo(zone)).date() - timedelta(days=2), at)
    return Schedule(zone, Frequency.DAILY, starts_at=to_instant(first, ZoneInfo(zone)))


def test_a_morning_in_new_york_stays_a_morning_when_the_clocks_change() -> None:
    schedule = Schedule(NEW_YORK, cron="0 9 * * *")
    assert runs(schedule, utc(2026, 10, 31), utc(2026, 11, 2)) == [
        utc(2026, 10, 31, 13),
        utc(2026, 11, 1, 14),
    ]


@pytest.mark.parametrize("kind", ["cron", "D"])
@pytest.mark.parametrize(
    ("at", "day", "expected"),
    [
        # 8 March 2026: 02:00 to 03:00 does not exist; 1 November: 01:00 to 02:00 comes twice.
        (time(2, 30), utc(2026, 3, 8), [utc(2026, 3, 8, 7), utc(2026, 3, 9, 6, 30)]),
        (time(1, 30), utc(2026, 11, 1), [utc(2026, 11, 1, 5, 30), utc(2026, 11, 2, 6, 30)]),
    ],
)
def test_a_missing_time_comes_at_the_end_of_the_gap_and_a_doubled_one_once(
    kind: str, at: time, day: datetime, expected: list[datetime]
) -> None:
    schedule = daily(kind, at, NEW_YORK, day)
    assert runs(schedule, day, day + timedelta(days=2)) == expected


def test_several_times_in_one_gap_come_once() -> None:
    schedule = Schedule(NEW_YORK, cron="*/20 2,3 * * *")
    found = runs(schedule, utc(2026, 3, 8, 6), utc(2026, 3, 8, 8))
    assert found == [utc(2026, 3, 8, 7), utc(2026, 3, 8, 7, 20), utc(2026, 3, 8, 7, 40)]


def test_a_day_that_a_zone_left_out_is_made_up_for_at_its_end() -> None:
    # Samoa went from 29 to 31 December 2011.
    schedule = Schedule("Pacific/Apia", cron="0 9 * * *")
    found = runs(schedule, utc(2011, 12, 29), utc(2012, 1, 1))
    assert [str(at.astimezone(ZoneInfo("Pacific/Apia"))) for at in found] == [
        "2011-12-29 09:00:00-10:00",
        "2011-12-31 00:00:00+14:00",
        "2011-12-31 09:00:00+14:00",
        "2012-01-01 09:00:00+14:00",
    ]


@settings(deadline=None, max_examples=300)
@example("cron", NEW_YORK, utc(2026, 3, 7), time(2, 30))
@example("D", NEW_YORK, utc(2026, 10, 31), time(1, 30))
@example("cron", "Australia/Lord_Howe", utc(2026, 10, 3), time(2, 10))
@example("D", "Asia/Manila", utc(1993, 1, 1), time(0, 0))
@given(st.sampled_from(["cron", "D"]), zones, moments, minutes)
def test_a_daily_time_comes_once_on_each_day(
    kind: str, zone: str, since: datetime, at: time
) -> None:
    where = ZoneInfo(zone)
    until = since + timedelta(days=40)
    found = runs(daily(kind, at, zone, since), since, until)
    assert found == sorted(set(found))
    # Every local day inside the span: its own time, by the rule for times that do not exist.
    first = since.astimezone(where).date() + timedelta(days=1)
    last = until.astimezone(where).date() - timedelta(days=1)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    expected = {to_instant(datetime.combine(day, at), where) for day in days}
    assert expected <= set(found)
    # And nothing else but what belongs to the days at both ends.
    assert len(found) <= len(expected) + 2


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(Frequency), zones, moments, st.timedeltas(timedelta(), timedelta(days=900)))
def test_what_comes_next_does_not_depend_on_when_one_asks(
    frequency: Frequency, zone: str, starts_at: datetime, later: timedelta
) -> None:
    schedule = Schedule(zone, frequency, starts_at=starts_at.replace(second=0, microsecond=0))
    asked = starts_at + later
    following = schedule.next_after(asked)
    if frequency is Frequency.ONCE:
        assert following is None
        return
    assert following is not None
    assert following > asked
    middle = asked + (following - asked) / 2
    assert schedule.next_after(middle) == following


@settings(deadline=None, max_examples=200)
@given(zones, moments)
def test_a_local_time_leads_to_a_moment_that_shows_it_or_to_the_end_of_its_gap(
    zone: str, moment: datetime
) -> None:
    where = ZoneInfo(zone)
    local = moment.replace(second=0, microsecond=0, tzinfo=None)
    at = to_instant(local, where)
    shown = at.astimezone(where).replace(tzinfo=None, fold=0)
    if shown == local:
        assert at.astimezone(where).fold == 0
    else:
        assert shown > local
        before = (at - timedelta(seconds=1)).astimezone(where).replace(tzinfo=None)
        assert before < local


def test_a_week_and_a_month_keep_the_local_time_and_a_short_month_its_last_day() -> None:
    weekly = Schedule(NEW_YORK, Frequency.WEEKLY, starts_at=utc(2026, 10, 27, 13))
    assert runs(weekly, utc(2026, 10, 1), utc(2026, 11, 11)) == [
        utc(2026, 10, 27, 13),
        utc(2026, 11, 3, 14),
        utc(2026, 11, 10, 14),
    ]
    monthly = Schedule("Europe/London", Frequency.MONTHLY, starts_at=utc(2026, 1, 31, 10))
    assert runs(monthly, utc(2026, 1, 1), utc(2026, 5, 31, 12)) == [
        utc(2026, 1, 31, 10),
        utc(2026, 2, 28, 10),
        utc(2026, 3, 31, 9),
        utc(2026, 4, 30, 9),
        utc(2026, 5, 31, 9),
    ]


def test_once_comes_once() -> None:
    once = Schedule("UTC", Frequency.ONCE, starts_at=utc(2026, 5, 1, 9))
    assert runs(once, utc(2026, 1, 1), utc(2030, 1, 1)) == [utc(2026, 5, 1, 9)]
    assert once.next_after(utc(2026, 5, 1, 9)) is None


@pytest.mark.parametrize(
    "cron",
    ["", "* * * *", "* * * * * *", "@daily", "0 9 * * xyz", "R * * * *", "H * * * *", "61 * * * *"],
)
def test_a_cron_of_other_words_or_fields_is_refused(cron: str) -> None:
    with pytest.raises(BadSchedule):
        check_cron(cron, utc(2026, 1, 1))


@pytest.mark.parametrize(
    "cron", ["0 0 30 2 *", "0 9 * * 1; x", "0 9 * * " + "1," * 60 + "1", "٣ * * * *", "a b c d e"]
)
def test_a_cron_that_cannot_be_read_or_never_comes_is_refused(cron: str) -> None:
    with pytest.raises(BadSchedule):
        check_cron(cron, utc(2026, 1, 1))


@pytest.mark.parametrize(
    "cron", ["0 9 * * *", "*/5 8-17 1,15 JAN-MAR mon", "0 9 L * *", "0 9 29 2 *"]
)
def test_a_cron_of_five_fields_is_taken(cron: str) -> None:
    assert check_cron(f"  {cron} ", utc(2096, 3, 1)) == cron


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "a\x00b"]
)
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(BadSchedule):
        check_zone(zone)


def test_one_late_run_stands_for_all_that_passed_within_the_hour() -> None:
    schedule = Schedule("UTC", cron="*/10 * * * *")
    caught = catch_up(schedule, utc(2026, 5, 1, 9), utc(2026, 5, 1, 9, 45), HOUR)
    assert (caught.fire, caught.missed) == (utc(2026, 5, 1, 9, 40), 4)
    assert caught.next == utc(2026, 5, 1, 9, 50)


def test_a_run_an_hour_late_is_missed() -> None:
    schedule = Schedule(NEW_YORK, cron="0 9 * * *")
    due = utc(2026, 5, 1, 13)
    on_time = catch_up(schedule, due, due, HOUR)
    assert (on_time.fire, on_time.missed, on_time.next) == (due, 0, due + timedelta(days=1))
    late = catch_up(schedule, due, due + timedelta(minutes=59, seconds=59), HOUR)
    assert (late.fire, late.missed) == (due, 0)
    gone = catch_up(schedule, due, due + HOUR, HOUR)
    assert (gone.fire, gone.missed, gone.next) == (None, 1, due + timedelta(days=1))
    days = catch_up(schedule, due, due + timedelta(days=3, minutes=5), HOUR)
    assert (days.fire, days.missed) == (due + timedelta(days=3), 3)


def test_a_schedule_that_was_away_for_years_is_caught_up_without_counting_each_minute() -> None:
    schedule = Schedule("UTC", cron="* * * * *")
    now = utc(2026, 5, 1, 9, 0, 30)
    caught = catch_up(schedule, utc(2020, 1, 1), now, HOUR)
    assert caught.fire == utc(2026, 5, 1, 9)
    assert caught.next == utc(2026, 5, 1, 9, 1)
    assert caught.missed >= MAX_MISSED
