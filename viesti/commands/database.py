"""``viesti migrate``, ``backup``, ``restore`` and ``upgrade-db``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from viesti.backup import as_result
from viesti.backup import backup as write_backup
from viesti.backup import restore as read_backup
from viesti.bootstrap import open_installation
from viesti.commands.perform import Json, Result, out, perform, say, show_fields
from viesti.db.embedded import Layout
from viesti.db.embedded.upgrade import upgrade
from viesti.db.migrate import newest_version
from viesti.kit.config import Settings
from viesti.kit.errors import Conflict


def migrate(as_json: Json = False) -> None:
    """Bring the database to this version's tables. Safe to repeat."""

    def work(settings: Settings) -> Result:
        with open_installation(settings, upgrade=True, report=say):
            return {"version": newest_version()}

    perform(as_json, work, show_fields)


def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it; must not exist yet.")],
    as_json: Json = False,
) -> None:
    """Write database and key into one file, while the platform goes on."""
    perform(as_json, lambda settings: as_result(write_backup(settings, file, say)), show_fields)


def restore(
    file: Annotated[Path, typer.Argument(help="What `viesti backup` wrote.")],
    send_waiting: Annotated[
        bool,
        typer.Option(
            "--send-waiting",
            help="Send the texts that were waiting, instead of holding them: only if the"
            " platform has stood still since the backup was made.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring a backup into an empty data folder; texts that were waiting are held."""

    def work(settings: Settings) -> Result:
        restored = read_backup(settings, file, say, send_waiting=send_waiting)
        return {**as_result(restored), "held": restored.held}

    perform(as_json, work, show_fields)


def upgrade_db(as_json: Json = False) -> None:
    """Carry the embedded database over to this version's PostgreSQL."""

    def work(settings: Settings) -> Result:
        if settings.database_url:
            raise Conflict("VIESTI_DATABASE_URL names your own server: upgrade it with its tools.")
        done = upgrade(Layout(settings.data_dir.absolute()), say)
        return {
            "from": done.before,
            "to": done.after,
            "changed": done.kept is not None,
            "kept": str(done.kept) if done.kept else None,
        }

    def show(result: Result) -> None:
        if not result["changed"]:
            line = f"The database is of PostgreSQL {result['to']} already: nothing to do."
        else:
            line = (
                f"The database moved from PostgreSQL {result['from']} to {result['to']}."
                f" The old one is kept in {result['kept']}: remove it once all is well."
            )
        out.print(line, highlight=False, markup=False, soft_wrap=True)

    perform(as_json, work, show)
