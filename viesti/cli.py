"""The ``viesti`` command: puts the families of ``viesti.commands`` together."""

from __future__ import annotations

from typing import Annotated

import typer

from viesti import __version__
from viesti.commands import (
    accounts,
    carriers,
    contacts,
    database,
    doctor,
    groups,
    jobs,
    roles,
    settings,
    status,
)

app = typer.Typer(
    name="viesti",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables: texts and secrets
    rich_markup_mode="rich",
    help="Open, self-hosted business text messaging.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"viesti {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    pass


RUN, SET_UP, CARE = "Run", "Set up", "Look after"
for command, panel in (
    (roles.serve, RUN),
    (roles.api, RUN),
    (roles.dispatch, RUN),
    (roles.work, RUN),
    (roles.simulate, RUN),
    (settings.config, SET_UP),
    (database.migrate, CARE),
    (status.status, CARE),
    (doctor.doctor, CARE),
    (database.backup, CARE),
    (database.restore, CARE),
    (database.upgrade_db, CARE),
):
    app.command(rich_help_panel=panel)(command)
app.add_typer(accounts.account_app, name="account", rich_help_panel=SET_UP)
app.add_typer(accounts.credentials_app, name="credentials", rich_help_panel=SET_UP)
app.add_typer(carriers.carrier_app, name="carrier", rich_help_panel=SET_UP)
app.add_typer(carriers.sender_app, name="sender", rich_help_panel=SET_UP)
app.add_typer(groups.group_app, name="group", rich_help_panel=SET_UP)
app.add_typer(groups.user_app, name="user", rich_help_panel=SET_UP)
app.add_typer(contacts.contacts_app, name="contacts", rich_help_panel=SET_UP)
app.add_typer(jobs.jobs_app, name="jobs", rich_help_panel=CARE)


def main() -> None:
    """The installed script's entry point."""
    app()
