"""The only wiring: from settings to an installation that commands and roles work with."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from viesti.db.connections import connect
from viesti.db.embedded import DatabaseHandle, ensure_database
from viesti.db.migrate import check_version, find_version, migrate
from viesti.domain.senders.models import SmppAccount
from viesti.domain.senders.service import ensure_carrier
from viesti.kit.clock import utc_now
from viesti.kit.config import ConfigError, Settings
from viesti.kit.errors import Unavailable
from viesti.kit.objects import open_objects
from viesti.kit.secrets import PlatformKey, ensure_platform_key, load_platform_key

if TYPE_CHECKING:
    from viesti.domain.messages.expansion import Worked
    from viesti.housekeeping.turns import Done

SIMULATOR_CARRIER = "simulator"
SIMULATOR_SYSTEM_ID = "viesti"
SIMULATOR_PASSWORD_PURPOSE = "simulator-password"  # noqa: S105 (a purpose, not a secret)
# SMPP 3.4 section 4.1.1 leaves room for eight characters.
SIMULATOR_PASSWORD_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Installation:
    """An open database of the right version, its key, and settings that are complete.

    In ``settings`` the database URLs, an absolute data folder and the simulator's password are
    always set, whatever the person left out.
    """

    settings: Settings
    key: PlatformKey
    database: DatabaseHandle

    @contextlib.contextmanager
    def connect(self) -> Generator[psycopg.Connection]:
        """A connection that commits when the block ends well."""
        with connect(self.settings.database_direct_url, "command") as conn:
            yield conn


def _quiet(_line: str) -> None:
    return None


@contextlib.contextmanager
def open_installation(
    settings: Settings, *, upgrade: bool = False, report: Callable[[str], None] = _quiet
) -> Generator[Installation]:
    """The installation of ``settings``; an embedded server is started if it does not run.

    ``upgrade`` migrates the database first; without it one of another version is refused,
    except that a fresh embedded one gets its tables. Raises Unavailable or ConfigError.
    """
    settings = dataclasses.replace(settings, data_dir=settings.data_dir.absolute())
    with ensure_database(settings, report=report) as database:
        try:
            fresh = upgrade or (database.owned and find_version(database.direct_dsn) is None)
            if fresh:
                migrate(database.direct_dsn)
            else:
                check_version(database.direct_dsn)
        except psycopg.OperationalError as error:
            said = str(error).partition("\n")[0]
            raise Unavailable(f"The database does not answer: {said}") from error
        with connect(database.direct_dsn, "command") as conn:
            key = _open_key(conn, settings)
        yield Installation(_complete(settings, database, key), key, database)


def _complete(settings: Settings, database: DatabaseHandle, key: PlatformKey) -> Settings:
    return dataclasses.replace(
        settings,
        database_url=database.dsn,
        database_direct_url=database.direct_dsn,
        simulator_password=settings.simulator_password or simulator_password(key),
    )


def _open_key(conn: psycopg.Connection, settings: Settings) -> PlatformKey:
    """The platform's key, made for a database that has none yet; its fingerprint is noted.

    Refuses a key that cannot read what this database holds. Where one was noted, no other is
    made: a file with a wrong key would stand in the way of the right one.
    """
    query = "SELECT value FROM platform WHERE key = 'key_fingerprint'"
    known = conn.execute(query).fetchone() is not None
    key = load_platform_key(settings) if known else ensure_platform_key(settings)
    conn.execute(
        "INSERT INTO platform (key, value) VALUES ('key_fingerprint', %s)"
        " ON CONFLICT (key) DO NOTHING",
        (Jsonb(key.fingerprint),),
    )
    row = conn.execute(query).fetchone()
    noted = row[0] if row else None
    if noted not in key.fingerprints:
        raise ConfigError(
            "The platform's key is not the one that this database was set up with:"
            " restore secret.key from the backup, or set VIESTI_SECRET_KEY."
        )
    if noted != key.fingerprint:  # rotated: the file's first key is in use from now on
        conn.execute(
            "UPDATE platform SET value = %s WHERE key = 'key_fingerprint'",
            (Jsonb(key.fingerprint),),
        )
    return key


def simulator_password(key: PlatformKey) -> str:
    """What the simulator and the carrier row both derive when no password was set."""
    return key.derive(SIMULATOR_PASSWORD_PURPOSE).hex()[:SIMULATOR_PASSWORD_CHARACTERS]


def ensure_default_carrier(installation: Installation, now: datetime | None = None) -> None:
    """The carrier ``simulator``, leading to the simulator's port with its password."""
    settings = installation.settings
    with installation.connect() as conn:
        ensure_carrier(
            conn,
            installation.key,
            name=SIMULATOR_CARRIER,
            smpp=SmppAccount(
                host="127.0.0.1",
                port=settings.simulator_port,
                system_id=SIMULATOR_SYSTEM_ID,
                password=settings.simulator_password,
            ),
            now=now or utc_now(),
        )


def run_dispatch(settings: Settings) -> None:
    """The ``dispatch`` role with ``inbound`` behind it: the two rooms do not know each other."""
    from viesti.dispatch.loop import run
    from viesti.inbound.handler import acknowledge_known, take_arrivals

    def mark(pool: ConnectionPool[psycopg.Connection], ids: list[UUID]) -> None:
        with pool.connection() as conn:
            acknowledge_known(conn, ids, utc_now())

    run(settings, take_arrivals, mark)


def run_work(settings: Settings) -> None:
    """The ``work`` role with the recurring jobs of the rooms that housekeeping does not know."""
    from viesti.domain.campaigns.work import CAMPAIGNS_CHANNEL
    from viesti.domain.campaigns.work import find_work as find_campaigns
    from viesti.domain.campaigns.work import work_on as work_on_campaigns
    from viesti.domain.contacts.counts import CountKeeper
    from viesti.domain.imports.store import drop_stale
    from viesti.domain.imports.work import Importer
    from viesti.domain.messages.credit import release_all_credited
    from viesti.domain.messages.expansion import EXPANSION_CHANNEL, find_work, work_on
    from viesti.domain.messages.expiry import expire_waiting, mark_missing_receipts
    from viesti.domain.messages.lanes import sweep_lanes
    from viesti.housekeeping.schedule import periodic
    from viesti.housekeeping.shared_files import forget_removed_files, remove_expired_files
    from viesti.housekeeping.turns import Works
    from viesti.inbound.sweeps import expire_parts, rematch_early
    from viesti.webhooks.worker import run

    run(
        settings,
        extra_jobs=[
            periodic("early receipts", 1, rematch_early),
            periodic("lanes with due texts", 5, sweep_lanes),
            periodic("texts that may go by now", 30, release_all_credited),
            periodic("texts that waited too long", 30, expire_waiting),
            periodic("incomplete inbound texts", 30, expire_parts),
            periodic("missing receipts", 600, mark_missing_receipts),
            periodic("uploads that broke off", 300, drop_stale),
            periodic("expired files", 300, remove_expired_files(open_objects(settings))),
            periodic("forgotten files", 3600, forget_removed_files),
            periodic("row counts", 10, CountKeeper()),
        ],
        long_jobs={"imports": periodic("contact files", 1, Importer().piece)},
        works=[
            Works("sending jobs", EXPANSION_CHANNEL, find_work, _telling(work_on)),
            Works(
                "campaigns",
                CAMPAIGNS_CHANNEL,
                find_campaigns,
                _telling(work_on_campaigns(timedelta(seconds=settings.campaign_late_s))),
            ),
        ],
    )


def _telling(
    work_on: Callable[[psycopg.Connection, UUID, UUID, datetime], Worked],
) -> Callable[[psycopg.Connection, UUID, UUID, datetime], Done]:
    """Pieces of a domain's work, with the channels that they wake, which are known here only."""
    from viesti.dispatch.settings import DISPATCH_CHANNEL
    from viesti.events.outbox import WEBHOOKS_CHANNEL
    from viesti.housekeeping.turns import Done

    def piece(conn: psycopg.Connection, account_id: UUID, id_: UUID, now: datetime) -> Done:
        worked = work_on(conn, account_id, id_, now)
        wake = [(DISPATCH_CHANNEL, str(lane)) for lane in {hint.lane_id for hint in worked.wake}]
        if worked.has_events:
            wake.append((WEBHOOKS_CHANNEL, ""))
        return Done(worked.done, wake)

    return piece
