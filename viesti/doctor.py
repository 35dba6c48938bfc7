"""The checks of ``viesti doctor``. Each says what it found and, where need be, what to do."""

from __future__ import annotations

import enum
import shutil
import socket
import stat
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from viesti.bootstrap import SIMULATOR_CARRIER
from viesti.db.connections import connect
from viesti.db.embedded import DatabaseHandle, ensure_database
from viesti.db.migrate import check_version, newest_version
from viesti.db.partitions import count_strays
from viesti.domain.senders.service import PASSWORD_PURPOSE
from viesti.kit.clock import utc_now
from viesti.kit.config import ConfigError, Settings
from viesti.kit.errors import ViestiError
from viesti.kit.secrets import PlatformKey, load_platform_key

OLDEST_SERVER = 150000  # PostgreSQL 15 in the form of server_version_num
SKEW_WARNING_S = 1.0
SKEW_FAILURE_S = 30.0
DISK_WARNING_BYTES = 2 * 2**30
DISK_FAILURE_BYTES = 200 * 2**20
CONNECT_TIMEOUT_S = 3.0
HEARTBEAT_S = 30.0


class Grade(enum.Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    grade: Grade
    detail: str
    advice: str = ""


def examine(settings: Settings) -> list[Check]:
    """All checks, the ones that others rest on first."""
    checks = [_disk(settings), _key_file(settings)]
    try:
        database = ensure_database(settings)
    except ViestiError as error:
        return [Check("database", Grade.FAILED, error.message), *checks]
    with database:
        try:
            with connect(database.direct_dsn, "doctor", autocommit=True) as conn:
                return [*_on_database(settings, conn, database), *checks]
        except psycopg.Error as error:
            advice = "Check VIESTI_DATABASE_URL and that the server runs."
            return [Check("database", Grade.FAILED, _first_line(error), advice), *checks]


def _on_database(
    settings: Settings, conn: psycopg.Connection, database: DatabaseHandle
) -> list[Check]:
    checks = [_server(conn, database.owned), _clock(conn)]
    try:
        check_version(database.direct_dsn)
    except ViestiError as error:
        return [*checks, Check("migrations", Grade.FAILED, error.message)]
    checks.append(Check("migrations", Grade.OK, f"version {newest_version()}"))
    checks.append(_partitions(conn))
    checks.append(_roles(conn))
    return checks + _key_and_carriers(settings, conn)


def _server(conn: psycopg.Connection, embedded: bool) -> Check:
    version = conn.info.server_version
    detail = (
        f"PostgreSQL {version // 10000}.{version % 10000}, {'embedded' if embedded else 'external'}"
    )
    if version < OLDEST_SERVER:
        return Check("database", Grade.FAILED, detail, "Use PostgreSQL 15 or newer.")
    for setting in ("fsync", "synchronous_commit"):
        row = conn.execute("SELECT current_setting(%s)", (setting,)).fetchone()
        if row is not None and row[0] == "off":
            return Check(
                "database",
                Grade.WARNING,
                f"{detail}, {setting} off",
                "A power cut can lose accepted texts: turn it on.",
            )
    return Check("database", Grade.OK, detail)


def _clock(conn: psycopg.Connection) -> Check:
    before = utc_now()
    row = conn.execute("SELECT clock_timestamp()").fetchone()
    after = utc_now()
    assert row is not None
    at_server: datetime = row[0]
    skew_s = (at_server - (before + (after - before) / 2)).total_seconds()
    detail = f"the database's clock is {abs(skew_s):.3f} s {'ahead' if skew_s > 0 else 'behind'}"
    if abs(skew_s) < SKEW_WARNING_S:
        return Check("clock", Grade.OK, detail)
    grade = Grade.WARNING if abs(skew_s) < SKEW_FAILURE_S else Grade.FAILED
    return Check("clock", grade, detail, "Run a time service (NTP) on both machines.")


def _partitions(conn: psycopg.Connection) -> Check:
    strays = count_strays(conn)
    if strays:
        return Check(
            "partitions",
            Grade.WARNING,
            f"{strays} rows lie outside every month's partition",
            "Keep `viesti work` running: it makes the partitions ahead of time.",
        )
    return Check("partitions", Grade.OK, "every row lies in its month")


def _roles(conn: psycopg.Connection) -> Check:
    rows = conn.execute("SELECT role, seen_at FROM processes ORDER BY role").fetchall()
    now = utc_now()
    alive = [role for role, seen_at in rows if (now - seen_at).total_seconds() < HEARTBEAT_S]
    if not alive:
        return Check("roles", Grade.WARNING, "none is running", "Start `viesti serve`.")
    return Check("roles", Grade.OK, "running: " + ", ".join(alive))


def _key_file(settings: Settings) -> Check:
    if settings.secret_key:
        return Check("key file", Grade.OK, "the key comes from VIESTI_SECRET_KEY")
    path = settings.key_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return Check("key file", Grade.WARNING, f"{path} is not there yet", "Start `viesti serve`.")
    if mode & 0o077:
        return Check(
            "key file", Grade.FAILED, f"{path} has mode {mode:04o}", f"Run `chmod 600 {path}`."
        )
    return Check("key file", Grade.OK, f"{path}, mode {mode:04o}")


def _disk(settings: Settings) -> Check:
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GB free for {settings.data_dir}"
    if free < DISK_WARNING_BYTES:
        grade = Grade.FAILED if free < DISK_FAILURE_BYTES else Grade.WARNING
        return Check("disk", grade, detail, "Make room, or move the data folder.")
    return Check("disk", Grade.OK, detail)


def _key_and_carriers(settings: Settings, conn: psycopg.Connection) -> list[Check]:
    try:
        key = load_platform_key(settings)
    except ConfigError as error:
        return [Check("key", Grade.FAILED, str(error))]
    row = conn.execute("SELECT value FROM platform WHERE key = 'key_fingerprint'").fetchone()
    if row is not None and row[0] not in key.fingerprints:
        return [
            Check(
                "key",
                Grade.FAILED,
                "the platform's key is not the one that this database was set up with",
                "Restore secret.key from the backup, or set VIESTI_SECRET_KEY.",
            )
        ]
    checks = [Check("key", Grade.OK, f"fingerprint {key.fingerprint}")]
    carriers = conn.execute(
        "SELECT id, name, settings, secret_encrypted FROM carriers WHERE enabled ORDER BY name"
    ).fetchall()
    if not carriers:
        advice = "Start `viesti serve`, or add one with `viesti carrier add`."
        checks.append(Check("carriers", Grade.WARNING, "there is none", advice))
    return checks + [_carrier(conn, key, row) for row in carriers]


def _carrier(conn: psycopg.Connection, key: PlatformKey, row: tuple[Any, ...]) -> Check:
    carrier_id, name, where, sealed = row
    title = f"carrier {name}"
    try:
        key.decrypt(PASSWORD_PURPOSE, sealed)
    except ViestiError as error:
        return Check(title, Grade.FAILED, error.message)
    address = f"{where['host']}:{where['port']}"
    try:
        socket.create_connection((where["host"], where["port"]), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return Check(
            title,
            Grade.FAILED if not _is_loopback(where["host"]) else Grade.WARNING,
            f"{address} cannot be reached: {error.strerror or error}",
            "Start `viesti serve`." if name == SIMULATOR_CARRIER else "Check address and network.",
        )
    bound = conn.execute(
        "SELECT bound_at IS NOT NULL, last_error FROM binds WHERE carrier_id = %s"
        " ORDER BY bound_at NULLS LAST LIMIT 1",
        (carrier_id,),
    ).fetchone()
    if bound is None or not bound[0]:
        reason = f" ({bound[1]})" if bound is not None and bound[1] else ""
        return Check(
            title,
            Grade.WARNING,
            f"{address} answers, but no dispatcher is bound{reason}",
            "Check system id and password, and that `viesti dispatch` runs.",
        )
    return Check(title, Grade.OK, f"{address}, bound")


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
