"""``viesti group`` and ``viesti user``."""

from __future__ import annotations

from typing import Annotated, Any, cast

import typer

from viesti.bootstrap import Installation
from viesti.commands.perform import (
    Json,
    Result,
    out,
    perform_on_installation,
    read_id,
    show_fields,
)
from viesti.domain.groups import service as groups
from viesti.domain.groups.models import Group
from viesti.domain.groups.queries import list_groups
from viesti.domain.users import service as users
from viesti.domain.users.models import Member, Role
from viesti.kit.clock import utc_now
from viesti.kit.errors import NotFound

group_app = typer.Typer(no_args_is_help=True, help="Inboxes of an account, and who reads them.")
user_app = typer.Typer(no_args_is_help=True, help="People who work with an account's texts.")

AccountOption = Annotated[str, typer.Option("--account", help="The account's id.")]
GroupOption = Annotated[str, typer.Option("--group", help="The group's id.")]
EmailOption = Annotated[str, typer.Option("--email", help="The user's e-mail address.")]


@group_app.command("create")
def create_group(
    account: AccountOption,
    name: Annotated[str, typer.Option(help="What people call it.")],
    tag: Annotated[
        list[str] | None, typer.Option(help="A tag; may be given several times.")
    ] = None,
    shared_pool: Annotated[
        bool, typer.Option("--shared-pool", help="Fall back on senders of the default group.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a group, without senders and users yet."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            made = groups.create_group(
                conn,
                account_id,
                name=name,
                now=utc_now(),
                tags=tag or (),
                use_shared_pool=shared_pool,
            )
        return _fields(made)

    perform_on_installation(as_json, work, _show)


@group_app.command("list")
def list_all(account: AccountOption, as_json: Json = False) -> None:
    """All groups of an account with their senders and users."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            page = list_groups(conn, account_id, 0, groups.MAX_GROUPS)
        return {"groups": [_fields(group) for group in page.groups]}

    def show(result: Result) -> None:
        for group in result["groups"]:
            line = f"{group['groupId']}  {group['name']}"
            more = [*group["senders"], *group["users"]]
            _print(f"{line}  {', '.join(more)}" if more else line)

    perform_on_installation(as_json, work, show)


@group_app.command("add-sender")
def add_sender(
    account: AccountOption,
    group: GroupOption,
    number: Annotated[str, typer.Option(help="A sender of the account.")],
    as_json: Json = False,
) -> None:
    """Give a sender to a group; it leaves the one it was in."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            return _fields(groups.move_sender(conn, account_id, group, number, utc_now()))

    perform_on_installation(as_json, work, _show)


@group_app.command("add-user")
def add_reader(
    account: AccountOption, group: GroupOption, email: EmailOption, as_json: Json = False
) -> None:
    """Let a user of the account read a group's conversations."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            member = users.find_member_by_email(conn, account_id, email)
            if member is None:
                raise NotFound(f"The account has no user {email}: add it with `viesti user add`.")
            return _fields(groups.add_reader(conn, account_id, group, member.id, utc_now()))

    perform_on_installation(as_json, work, _show)


@group_app.command("remove-user")
def remove_reader(
    account: AccountOption, group: GroupOption, email: EmailOption, as_json: Json = False
) -> None:
    """Take a user out of a group."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            member = users.find_member_by_email(conn, account_id, email)
            if member is None:
                raise NotFound(f"The account has no user {email}.")
            return _fields(groups.remove_reader(conn, account_id, group, member.id, utc_now()))

    perform_on_installation(as_json, work, _show)


@user_app.command("add")
def add_user(
    account: AccountOption,
    email: EmailOption,
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.SENDER,
    first_name: Annotated[str, typer.Option("--first-name")] = "",
    last_name: Annotated[str, typer.Option("--last-name")] = "",
    mobile: Annotated[str, typer.Option(help="In international form.")] = "",
    as_json: Json = False,
) -> None:
    """Make a person a user of an account; groups are joined by `viesti group add-user`."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            made = users.add_user(
                conn,
                account_id=account_id,
                email=email,
                role=role,
                now=utc_now(),
                first_name=first_name,
                last_name=last_name,
                mobile=mobile,
            )
        return _user_fields(made)

    perform_on_installation(as_json, work, show_fields)


@user_app.command("list")
def list_users(account: AccountOption, as_json: Json = False) -> None:
    """All users of an account with their roles."""

    def work(installation: Installation) -> Result:
        account_id = read_id(account, "an account")
        with installation.connect() as conn:
            return {"users": [_user_fields(one) for one in users.list_members(conn, account_id)]}

    def show(result: Result) -> None:
        for user in result["users"]:
            _print(
                f"{user['userId']}  {user['role']:<16}  {user['email']}  {user['name']}".rstrip()
            )

    perform_on_installation(as_json, work, show)


def _fields(group: Group) -> dict[str, Any]:
    return {
        "groupId": str(group.id),
        "name": group.name,
        "tags": group.tags,
        "useSharedPool": group.use_shared_pool,
        "senders": [sender.number for sender in group.senders],
        "users": [user.email for user in group.users],
    }


def _user_fields(user: Member) -> dict[str, Any]:
    return {
        "userId": str(user.id),
        "email": user.email,
        "name": f"{user.first_name} {user.last_name}".strip(),
        "role": user.role.value,
    }


def _show(result: Result) -> None:
    show_fields(
        {
            name: ", ".join(cast("list[str]", value)) if isinstance(value, list) else value
            for name, value in result.items()
        }
    )


def _print(line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)
