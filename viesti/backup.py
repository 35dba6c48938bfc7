"""A backup is one file: the database's dump, the key, shared files, and a note of what it is.

``viesti backup`` and ``viesti restore`` call this.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from viesti import __version__
from viesti.db.connections import connect
from viesti.db.dump import read_dump, write_dump
from viesti.db.embedded import Layout, ensure_database
from viesti.db.embedded.layout import write_private
from viesti.db.embedded.server import Report
from viesti.db.migrate import find_version, known_versions, migrate
from viesti.domain.campaigns.work import pass_over
from viesti.domain.messages.control import pause_begun_jobs
from viesti.domain.messages.parked import hold_queue
from viesti.domain.messages.progress import advance
from viesti.kit.clock import iso, utc_now
from viesti.kit.config import Settings
from viesti.kit.errors import Conflict, Invalid, NotFound
from viesti.kit.objects import FOLDER

FORMAT = 1
NOTE, DUMP, KEY = "backup.json", "database.dump", "secret.key"


@dataclass(frozen=True, slots=True)
class Backup:
    path: Path
    made_at: str
    schema: str
    has_key: bool
    size_bytes: int
    held: int = 0  # texts that a restore held, since they may have left after the backup


def backup(settings: Settings, path: Path, report: Report) -> Backup:
    """Write a backup to ``path``, readable by its owner only, while the platform goes on.

    Raises Conflict if the file exists. The key is left out when it comes from
    VIESTI_SECRET_KEY: whoever set that keeps it.
    """
    path = path.absolute()
    if path.exists():
        raise Conflict(f"{path} exists already.")
    if not path.parent.is_dir():
        raise NotFound(f"There is no folder {path.parent}.")
    key = None
    if not settings.secret_key and settings.key_file.exists():
        key = settings.key_file.read_text()
    fresh = path.with_name(path.name + ".part")
    with ensure_database(settings, report=report) as database:
        schema = find_version(database.direct_dsn)
        if schema is None:
            raise NotFound("The database has no tables yet: there is nothing to back up.")
        note: dict[str, Any] = {
            "format": FORMAT,
            "viesti": __version__,
            "madeAt": iso(utc_now()),
            "schema": schema,
        }
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                # Stored: pg_dump compresses already.
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                    archive.writestr(NOTE, json.dumps(note))
                    if key is not None:
                        archive.writestr(KEY, key)
                    with archive.open(DUMP, "w", force_zip64=True) as dump:
                        write_dump(database.direct_dsn, dump, embedded=database.owned)
                    if not settings.files_url:
                        _add_files(archive, settings.data_dir / FOLDER)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
        finally:
            fresh.unlink(missing_ok=True)
    return Backup(path, note["madeAt"], schema, key is not None, path.stat().st_size)


def restore(
    settings: Settings, path: Path, report: Report, *, send_waiting: bool = False
) -> Backup:
    """Bring a backup into an empty data folder (or empty external database).

    Texts that were waiting when the backup was made may have left since, so they are held,
    unless ``send_waiting`` says that the platform stood still from the backup on.

    Raises Invalid if the file is no backup that this version reads, Conflict if the place is
    not empty. What failed half-way leaves the place empty again.
    """
    try:
        archive = zipfile.ZipFile(path)
        note: dict[str, Any] = json.loads(archive.read(NOTE))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise Invalid(f"{path} cannot be read as a backup of viesti.") from error
    with archive:
        if note.get("format") != FORMAT or note.get("schema") not in known_versions():
            raise Invalid(f"{path} was made by a newer viesti ({note.get('viesti')}).")
        layout = Layout(settings.data_dir.absolute())
        embedded = not settings.database_url
        if embedded and layout.pgdata.exists():
            raise Conflict(f"{layout.data_dir} holds a database already: restore into another.")
        has_key = KEY in archive.namelist()
        _check_key_place(settings, archive.read(KEY).decode() if has_key else None)
        try:
            with ensure_database(settings, report=report) as database:
                if find_version(database.direct_dsn) is not None:
                    raise Conflict("The database has tables already: restore into an empty one.")
                with archive.open(DUMP) as dump:
                    read_dump(database.direct_dsn, dump, embedded=embedded)
                migrate(database.direct_dsn)
                held = 0 if send_waiting else _hold_waiting(database.direct_dsn)
        except BaseException:
            if embedded:
                shutil.rmtree(layout.pgdata, ignore_errors=True)
            raise
        if has_key and not settings.secret_key and not settings.key_file.exists():
            write_private(settings.key_file, archive.read(KEY).decode())
        if not settings.files_url:
            shared = [name for name in archive.namelist() if name.startswith(f"{FOLDER}/")]
            archive.extractall(settings.data_dir, shared)
    size = path.stat().st_size
    return Backup(path.absolute(), note["madeAt"], note["schema"], has_key, size, held)


def _add_files(archive: zipfile.ZipFile, folder: Path) -> None:
    """Shared files as they lie; one that expires meanwhile is left out."""
    for file in sorted(folder.rglob("*")):
        try:
            content = file.read_bytes() if file.is_file() else None
        except FileNotFoundError:
            continue
        if content is not None:
            archive.writestr(f"{FOLDER}/{file.relative_to(folder)}", content)


def _hold_waiting(dsn: str) -> int:
    """Hold every text that the backup found in the queue; returns how many.

    Jobs that were reading their recipients are paused: a person resumes or cancels them. Runs of
    campaigns whose time has passed since are missed.
    """
    held = 0
    with connect(dsn, "restore") as conn:
        pause_begun_jobs(conn, utc_now())
        pass_over(conn, utc_now())
        conn.commit()
        while steps := hold_queue(conn, utc_now()):
            advance(conn, steps)
            conn.commit()
            held += len(steps)
    return held


def _check_key_place(settings: Settings, key: str | None) -> None:
    """Refuse before anything is written if the platform would run under another key."""
    if key is None or settings.secret_key or not settings.key_file.exists():
        return
    if settings.key_file.read_text().split() != key.split():
        raise Conflict(f"{settings.key_file} holds another key than the backup: move it away.")


def as_result(made: Backup) -> dict[str, Any]:
    """The backup as the commands print it."""
    values = dataclasses.asdict(made)
    return {
        "file": str(values["path"]),
        "madeAt": values["made_at"],
        "schema": values["schema"],
        "secretKey": values["has_key"],
        "bytes": values["size_bytes"],
    }
