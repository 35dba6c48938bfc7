"""viesti/domain/groups: who and what belongs to a group."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from tests.conftest import Clock
from viesti.domain.accounts.service import create_account
from viesti.domain.groups import service
from viesti.domain.groups.queries import find_group_names, get_group, list_groups
from viesti.domain.senders.choice import find_senders
from viesti.domain.senders.models import SmppAccount
from viesti.domain.senders.service import add_sender, ensure_carrier
from viesti.domain.users.models import Role
from viesti.domain.users.service import add_user
from viesti.kit.errors import Conflict, Invalid, NotFound
from viesti.kit.ids import new_id
from viesti.kit.secrets import PlatformKey

NEW_YORK = "+12125550101"
TORONTO = "+14165550101"
LONDON = "+442071838750"


@pytest.fixture
def account(conn: psycopg.Connection, clock: Clock) -> UUID:
    ensure_carrier(
        conn,
        PlatformKey([b"k" * 32]),
        name="local",
        smpp=SmppAccount("127.0.0.1", 2775, "viesti", "hush"),
        now=clock.now(),
    )
    return create_account(conn, name="Shop", balance_micros=0, now=clock.now()).id


@pytest.fixture
def add(conn: psycopg.Connection, clock: Clock, account: UUID) -> Callable[[str], UUID]:
    return lambda number: (
        add_sender(
            conn, account_id=account, number=number, carrier_name="local", now=clock.now()
        ).id
    )


def numbers(conn: psycopg.Connection, account: UUID) -> dict[str, list[str]]:
    groups = list_groups(conn, account, 0, 500).groups
    return {group.name: [sender.number for sender in group.senders] for group in groups}


def test_every_account_is_born_with_a_default_group_by_its_own_id(
    conn: psycopg.Connection, account: UUID
) -> None:
    group = get_group(conn, account, str(account))
    assert (group.id, group.name, group.is_default) == (account, "Default", True)
    assert (group.senders, group.users, group.use_shared_pool) == ([], [], False)


def test_a_sender_is_in_one_group_only(
    conn: psycopg.Connection, clock: Clock, account: UUID, add: Callable[[str], UUID]
) -> None:
    sender = add(NEW_YORK)
    add(LONDON)
    sales = service.create_group(conn, account, name="Sales", now=clock.now())
    help_ = service.create_group(conn, account, name="Help", now=clock.now())
    assert numbers(conn, account) == {"Default": [NEW_YORK, LONDON], "Sales": [], "Help": []}
    clock.advance(5)
    moved = service.move_sender(conn, account, str(sales.id), NEW_YORK, clock.now())
    assert [row.number for row in moved.senders] == [NEW_YORK]
    assert moved.updated_at == clock.now()
    assert numbers(conn, account) == {"Default": [LONDON], "Sales": [NEW_YORK], "Help": []}
    service.move_sender(conn, account, str(help_.id), NEW_YORK, clock.now())
    assert numbers(conn, account) == {"Default": [LONDON], "Sales": [], "Help": [NEW_YORK]}
    names = find_group_names(conn, account, [sender, None, new_id()])
    assert {key: name.name for key, name in names.items()} == {sender: "Help"}
    service.move_sender(conn, account, str(account), NEW_YORK, clock.now())
    assert numbers(conn, account)["Default"] == [NEW_YORK, LONDON]


def test_a_group_has_no_two_senders_with_one_calling_code(
    conn: psycopg.Connection, clock: Clock, account: UUID, add: Callable[[str], UUID]
) -> None:
    for number in (NEW_YORK, TORONTO, LONDON, "Acme", "12345"):
        add(number)
    sales = str(service.create_group(conn, account, name="Sales", now=clock.now()).id)
    for number in (NEW_YORK, LONDON, "Acme", "12345"):
        service.move_sender(conn, account, sales, number, clock.now())
    with pytest.raises(Conflict, match=r"\+1 already"):
        service.move_sender(conn, account, sales, TORONTO, clock.now())
    # Giving it again what it has is no conflict, and the default group takes any.
    service.move_sender(conn, account, sales, NEW_YORK, clock.now())
    service.move_sender(conn, account, str(account), NEW_YORK, clock.now())
    service.move_sender(conn, account, sales, TORONTO, clock.now())
    assert numbers(conn, account) == {
        "Default": [NEW_YORK],
        "Sales": [TORONTO, LONDON, "Acme", "12345"],
    }


def test_only_the_accounts_own_senders_users_and_groups_join(
    conn: psycopg.Connection, clock: Clock, account: UUID, add: Callable[[str], UUID]
) -> None:
    add(NEW_YORK)
    other = create_account(conn, name="Other", balance_micros=0, now=clock.now()).id
    theirs = str(service.create_group(conn, other, name="Sales", now=clock.now()).id)
    stranger = add_user(
        conn, account_id=other, email="a@b.org", role=Role.SENDER, now=clock.now()
    ).id
    for attempt in (
        lambda: service.move_sender(conn, other, theirs, NEW_YORK, clock.now()),
        lambda: service.move_sender(conn, account, theirs, NEW_YORK, clock.now()),
        lambda: service.add_reader(conn, account, str(account), stranger, clock.now()),
        lambda: service.add_reader(conn, account, theirs, stranger, clock.now()),
        lambda: service.remove_reader(conn, account, str(account), stranger, clock.now()),
        lambda: get_group(conn, account, theirs),
        lambda: get_group(conn, account, "nonsense"),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert [sender.number for sender in find_senders(conn, account)] == [NEW_YORK]
    assert find_senders(conn, other) == []


def test_users_join_and_leave_a_group(
    conn: psycopg.Connection, clock: Clock, account: UUID
) -> None:
    user = add_user(conn, account_id=account, email="a@b.org", role=Role.READ_ONLY, now=clock.now())
    for _ in range(2):
        group = service.add_reader(conn, account, str(account), user.id, clock.now())
        assert group.users == [user]
    assert service.remove_reader(conn, account, str(account), user.id, clock.now()).users == []


def test_what_cannot_be_a_group_is_refused(
    conn: psycopg.Connection, clock: Clock, account: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = service.create_group(conn, account, name="  Front   desk ", now=clock.now())
    assert made.name == "Front desk"
    for name, reason in (("Front desk", Conflict), ("", Invalid), ("x" * 101, Invalid)):
        with pytest.raises(reason):
            service.create_group(conn, account, name=name, now=clock.now())
    with pytest.raises(Invalid):
        service.create_group(conn, account, name="A", tags=["\x07"], now=clock.now())
    with pytest.raises(NotFound):
        service.create_group(conn, new_id(), name="A", now=clock.now())
    monkeypatch.setattr(service, "MAX_GROUPS", 2)
    with pytest.raises(Conflict, match="at most 2"):
        service.create_group(conn, account, name="B", now=clock.now())
