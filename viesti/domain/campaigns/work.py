"""All that campaigns have to do by themselves: one kind of works of the ``work`` role.

Starts what is due, turns files into texts, follows runs. Each piece is a transaction under a row
lock, so any number of processes take part.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from viesti.domain.campaigns.files import find_reading, pause_reading, read_on
from viesti.domain.campaigns.launch import find_due, launch
from viesti.domain.campaigns.tend import find_unsettled, tend
from viesti.domain.messages.expansion import Worked

# Wakes the ``work`` role: a run was started or canceled, a file came. No payload.
CAMPAIGNS_CHANNEL = "viesti_campaigns"


def find_work(conn: psycopg.Connection, now: datetime) -> list[tuple[UUID, UUID]]:
    """(account, campaign or run) of all that has something to do now."""
    return find_due(conn, now) + find_reading(conn, now) + find_unsettled(conn, now)


def pass_over(conn: psycopg.Connection, now: datetime) -> None:
    """Start nothing that may have gone out since the backup that the database was brought from.

    Times that have passed are shown as missed, and files that were being read are paused.
    """
    while due := find_due(conn, now):
        for account_id, campaign_id in due:
            launch(conn, account_id, campaign_id, now, late=timedelta(0))
    pause_reading(conn)


def work_on(late: timedelta) -> Callable[[psycopg.Connection, UUID, UUID, datetime], Worked]:
    """The piece that does what ``find_work`` names; runs are made up for if less than ``late``."""

    def piece(conn: psycopg.Connection, account_id: UUID, id_: UUID, now: datetime) -> Worked:
        if launch(conn, account_id, id_, now, late):
            return Worked(True)
        read = read_on(conn, account_id, id_, now)
        if read.done:
            return read
        return Worked(tend(conn, account_id, id_, now))

    return piece
