"""``viesti contacts``: files of contacts into an account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import psycopg
import typer

from viesti.bootstrap import Installation
from viesti.commands.perform import Json, Result, perform_on_installation, read_id, show_fields
from viesti.db.signals import notify
from viesti.domain.accounts.service import get_account
from viesti.domain.contacts.models import MergeStrategy
from viesti.domain.imports.intake import Limits, Upload
from viesti.domain.imports.models import Import
from viesti.domain.imports.views import accepted_view, imported_view
from viesti.events.outbox import WEBHOOKS_CHANNEL

contacts_app = typer.Typer(no_args_is_help=True, help="Contacts of an account.")

PIECE_OCTETS = 256 * 1024

R = TypeVar("R")


@contacts_app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV; its first row names the columns.")],
    account: Annotated[str, typer.Option("--account", help="The account's id.")],
    strategy: Annotated[
        MergeStrategy, typer.Option(help="For numbers that are known already.")
    ] = MergeStrategy.APPEND,
    as_json: Json = False,
) -> None:
    """Import a contact file; a large one is worked off while Viesti runs."""

    def work(installation: Installation) -> Result:
        settings = installation.settings
        account_id = read_id(account, "an account")

        def transact(work: Callable[[psycopg.Connection], R]) -> R:
            with installation.connect() as conn:
                return work(conn)

        transact(lambda conn: get_account(conn, account_id))
        limits = Limits(settings.import_max_mib * 2**20, settings.import_max_rows)
        done = Upload(transact, account_id, limits, strategy).take(_pieces(file))
        if isinstance(done, Import):
            view = accepted_view(done)
        else:
            view = imported_view(done, ())
            if done.has_events:
                with installation.connect() as conn:
                    notify(conn, WEBHOOKS_CHANNEL)
        # The contacts themselves are of no use on a terminal.
        return {name: value for name, value in view.items() if name != "contacts"}

    perform_on_installation(as_json, work, show_fields)


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(PIECE_OCTETS):
            yield piece
