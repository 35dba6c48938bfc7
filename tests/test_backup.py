"""viesti/backup.py and db/embedded/upgrade.py."""

from __future__ import annotations

import json
import stat
import tempfile
import zipfile
from collections.abc import Generator
from pathlib import Path

import obstore
import psycopg
import pytest

from viesti.backup import backup, restore
from viesti.bootstrap import open_installation
from viesti.db.embedded import Layout, Server
from viesti.db.embedded.binaries import get_binaries
from viesti.db.embedded.upgrade import upgrade
from viesti.db.migrate import migrate
from viesti.domain.accounts.service import create_account, get_account, top_up
from viesti.domain.contacts.models import ContactInput
from viesti.domain.messages.models import SendRequest
from viesti.domain.messages.send import send_messages
from viesti.domain.senders.models import SmppAccount
from viesti.domain.senders.service import add_carrier, add_sender
from viesti.kit.clock import utc_now
from viesti.kit.config import Settings
from viesti.kit.errors import Conflict, Invalid, NotFound
from viesti.kit.ids import UUID
from viesti.kit.objects import open_objects
from viesti.kit.secrets import load_platform_key


def quiet(_line: str) -> None:
    pass


@pytest.fixture
def folder() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="viesti-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder
        for data in folder.iterdir():
            if data.is_dir():
                Server(Layout(data)).stop()


def make_account(settings: Settings) -> UUID:
    with open_installation(settings) as installation, installation.connect() as conn:
        return create_account(conn, name="Kept", balance_micros=7, now=utc_now()).id


def name_of(settings: Settings, account: UUID) -> str:
    with open_installation(settings) as installation, installation.connect() as conn:
        return get_account(conn, account).name


def test_a_backup_brings_data_and_key_to_another_folder(folder: Path) -> None:
    old, new = Settings(data_dir=folder / "old"), Settings(data_dir=folder / "new")
    account = make_account(old)
    obstore.put(open_objects(old), f"{account}/shared", b"picture")
    made = backup(old, folder / "file", quiet)
    assert made.has_key
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o600
    restored = restore(new, folder / "file", quiet)
    assert restored.made_at == made.made_at
    assert name_of(new, account) == "Kept"
    shared = obstore.get_range(open_objects(new), f"{account}/shared", start=0, end=7)
    assert bytes(shared) == b"picture"
    assert load_platform_key(new).fingerprint == load_platform_key(old).fingerprint
    assert stat.S_IMODE((folder / "new" / "secret.key").stat().st_mode) == 0o600
    # What is there is never overwritten.
    with pytest.raises(Conflict):
        restore(new, folder / "file", quiet)
    with pytest.raises(Conflict):
        backup(old, folder / "file", quiet)
    assert sorted(path.name for path in folder.iterdir()) == ["file", "new", "old"]


def queue_a_text(settings: Settings) -> UUID:
    """An account's text that waits for a carrier that nobody serves."""
    account = make_account(settings)
    with open_installation(settings) as installation, installation.connect() as conn:
        now = utc_now()
        add_carrier(
            conn,
            installation.key,
            name="away",
            smpp=SmppAccount("127.0.0.1", 9, "viesti", "none"),
            now=now,
        )
        add_sender(conn, account_id=account, number="+12025550100", carrier_name="away", now=now)
        top_up(conn, account, 1_000_000, now=now, note="")
        request = SendRequest(contacts=[ContactInput(mobile="+13475550101")], template="Hello")
        sent = send_messages(
            conn,
            account,
            request,
            credential_id=account,
            idempotency_key=None,
            body=b"",
            now=now,
        )
        return UUID(sent.data["messages"][0]["id"])


@pytest.mark.parametrize(("send_waiting", "status"), [(False, "held"), (True, "queued")])
def test_texts_that_waited_may_have_left_since_the_backup(
    folder: Path, send_waiting: bool, status: str
) -> None:
    old, new = Settings(data_dir=folder / "old"), Settings(data_dir=folder / "new")
    message = queue_a_text(old)
    backup(old, folder / "file", quiet)
    restored = restore(new, folder / "file", quiet, send_waiting=send_waiting)
    assert restored.held == (0 if send_waiting else 1)
    with open_installation(new) as installation, installation.connect() as conn:
        found = conn.execute("SELECT status FROM messages WHERE id = %s", (message,)).fetchone()
        waiting = conn.execute("SELECT count(*) FROM dispatch_queue").fetchone()
    assert found == (status,)
    assert waiting == (1 if send_waiting else 0,)


def test_a_file_that_is_no_backup_changes_nothing(folder: Path) -> None:
    settings = Settings(data_dir=folder / "data")
    (folder / "noise").write_bytes(b"noise")
    with zipfile.ZipFile(folder / "newer", "w") as archive:
        archive.writestr("backup.json", json.dumps({"format": 1, "schema": "9999"}))
    for name in ("missing", "noise", "newer"):
        with pytest.raises(Invalid):
            restore(settings, folder / name, quiet)
    assert not settings.data_dir.exists()


def test_a_restore_that_fails_half_way_leaves_the_folder_free(folder: Path) -> None:
    old, new = Settings(data_dir=folder / "old"), Settings(data_dir=folder / "new")
    account = make_account(old)
    backup(old, folder / "file", quiet)
    with (
        zipfile.ZipFile(folder / "file") as good,
        zipfile.ZipFile(folder / "torn", "w") as torn,
    ):
        for name in good.namelist():
            data = good.read(name)
            torn.writestr(name, data[: len(data) // 2] if name == "database.dump" else data)
    with pytest.raises(Exception, match="could not be restored"):
        restore(new, folder / "torn", quiet)
    restore(new, folder / "file", quiet)
    assert name_of(new, account) == "Kept"


def test_an_external_database_is_backed_up_and_restored_too(
    folder: Path, dsn: str, empty_dsn: str
) -> None:
    old = Settings(database_url=dsn, data_dir=folder / "old")
    new = Settings(database_url=empty_dsn, data_dir=folder / "new")
    account = make_account(old)
    backup(old, folder / "file", quiet)
    (folder / "new").mkdir()
    restore(new, folder / "file", quiet)
    assert name_of(new, account) == "Kept"


def test_an_older_major_version_is_carried_over_and_kept(folder: Path) -> None:
    settings = Settings(data_dir=folder / "data")
    layout = Layout(settings.data_dir)
    layout.make_data_dir()
    old = Server(layout, get_binaries(16), durable=False)
    old.ensure_running()
    try:
        migrate(layout.dsn())
        with psycopg.connect(layout.dsn()) as conn:
            account = create_account(conn, name="Kept", balance_micros=7, now=utc_now())
    finally:
        old.stop()
    done = upgrade(layout, quiet, durable=False)
    assert (done.before, done.after, done.kept) == (16, 18, folder / "data" / "postgres-16")
    assert name_of(settings, account.id) == "Kept"
    assert (folder / "data" / "postgres-16" / "PG_VERSION").read_text() == "16\n"
    assert upgrade(layout, quiet).kept is None


def test_there_must_be_something_to_upgrade(folder: Path) -> None:
    with pytest.raises(NotFound):
        upgrade(Layout(folder / "none"), quiet)
