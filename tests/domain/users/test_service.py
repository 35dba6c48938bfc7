"""viesti/domain/users: people and the accounts that they belong to."""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import Clock
from viesti.domain.accounts.service import create_account
from viesti.domain.users.models import Role
from viesti.domain.users.service import add_user, find_member_by_email, get_member, list_members
from viesti.kit.errors import Conflict, Invalid, NotFound
from viesti.kit.ids import new_id


def test_one_person_may_belong_to_several_accounts_with_other_roles(
    conn: psycopg.Connection, clock: Clock
) -> None:
    now = clock.now()
    shop, cafe = (
        create_account(conn, name=name, balance_micros=0, now=now).id for name in ("Shop", "Cafe")
    )
    ada = add_user(
        conn,
        account_id=shop,
        email=" Ada@Example.org ",
        role=Role.ADMINISTRATOR,
        first_name="Ada",
        mobile="+44 7400 123456",
        now=now,
    )
    assert (ada.email, ada.mobile, ada.mobile_country) == (
        "ada@example.org",
        "+447400123456",
        "GB",
    )
    again = add_user(
        conn,
        account_id=cafe,
        email="ada@example.org",
        role=Role.READ_ONLY,
        first_name="Eve",
        now=now,
    )
    assert (again.id, again.first_name, again.role) == (ada.id, "Ada", Role.READ_ONLY)
    assert get_member(conn, shop, ada.id).role is Role.ADMINISTRATOR
    assert list_members(conn, cafe) == [again]
    assert find_member_by_email(conn, cafe, "ADA@example.org") == again
    with pytest.raises(Conflict):
        add_user(conn, account_id=shop, email="ada@example.org", role=Role.SENDER, now=now)


def test_what_cannot_be_a_user_is_refused(conn: psycopg.Connection, clock: Clock) -> None:
    now = clock.now()
    shop = create_account(conn, name="Shop", balance_micros=0, now=now).id
    for email in ("", "ada", "ada@", "@example.org", "a b@example.org", "a@b", "a@b.org\n"):
        if email.strip() != "a@b.org":
            with pytest.raises(Invalid):
                add_user(conn, account_id=shop, email=email, role=Role.SENDER, now=now)
    for fields in ({"first_name": "x" * 201}, {"last_name": "\x07"}, {"mobile": "12"}):
        with pytest.raises(Invalid):
            add_user(conn, account_id=shop, email="a@b.org", role=Role.SENDER, now=now, **fields)
    with pytest.raises(NotFound):
        add_user(conn, account_id=new_id(), email="a@b.org", role=Role.SENDER, now=now)
    with pytest.raises(NotFound):
        get_member(conn, shop, new_id())
    assert conn.execute("SELECT count(*) FROM users").fetchone() == (0,)
    assert Role.CAMPAIGN_MANAGER.label == "Campaign Manager"
