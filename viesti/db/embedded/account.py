"""Which operating system account runs the embedded server, and whether it can get there.

PostgreSQL refuses to run as root. Started by a person it runs as that person; started by root
it runs as a service account, which must be able to enter the data folder and the programs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from viesti.db.embedded.binaries import Binaries
from viesti.kit.errors import Unavailable

SERVICE_ACCOUNTS = ("viesti", "postgres")
ACL_ATTRIBUTE = "system.posix_acl_access"


@dataclass(frozen=True, slots=True)
class Account:
    """The account that owns the server's files. ``switch`` is set when root starts it."""

    name: str
    uid: int
    gid: int
    switch: bool

    def run_as(self) -> dict[str, object]:
        """Arguments for ``subprocess`` that make a child run as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}

    def take(self, path: Path) -> None:
        """Make this account the owner of ``path``."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def get_account(pgdata: Path) -> Account:
    """The caller's own account; for root the owner of ``pgdata``, else a service account.

    Raises Unavailable if root has none that could be used.
    """
    if os.geteuid() != 0:
        own = pwd.getpwuid(os.geteuid())
        return Account(own.pw_name, own.pw_uid, own.pw_gid, switch=False)
    if pgdata.exists() and pgdata.stat().st_uid != 0:
        try:
            found = pwd.getpwuid(pgdata.stat().st_uid)
        except KeyError as error:
            raise Unavailable(
                f"{pgdata} belongs to user id {pgdata.stat().st_uid}, which this machine does"
                " not know: create that user or give the folder to another one."
            ) from error
    else:
        found = _service_account()
    return Account(found.pw_name, found.pw_uid, found.pw_gid, switch=True)


def _find_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _service_account() -> pwd.struct_passwd:
    for name in SERVICE_ACCOUNTS:
        if (found := _find_user(name)) is not None:
            return found
    if useradd := shutil.which("useradd"):
        subprocess.run(
            [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "viesti"],
            check=False,
            capture_output=True,
        )
    found = _find_user("viesti") or _find_user("nobody")
    if found is None or found.pw_uid == 0:
        raise Unavailable(
            "PostgreSQL does not run as root and there is no user to run it as:"
            " create a user named viesti, or start viesti as a normal user."
        )
    return found


def ensure_reach(
    account: Account, binaries: Binaries, data_dir: Path, report: Callable[[str], None]
) -> None:
    """See to it that ``account`` can run the programs and enter ``data_dir``.

    Where a folder above them is closed to others (a home folder of root, say), the account is
    given the right to pass through it, by an access list and for nothing else. Raises
    Unavailable, saying what to do, if that does not help.
    """
    if not account.switch:
        return
    postgres = binaries.program("postgres")
    for target, command in (
        (Path(postgres), [postgres, "--version"]),
        (data_dir, ["test", "-x", str(data_dir)]),
    ):
        if _succeeds(account, command):
            continue
        for folder in reversed(target.parents):
            if not _succeeds(account, ["test", "-x", str(folder)]):
                if not _let_pass(folder, account.uid):
                    break
                report(f"User {account.name} may now pass through {folder} to the database.")
        if not _succeeds(account, command):
            raise Unavailable(
                f"PostgreSQL does not run as root, and user {account.name} cannot reach {target}:"
                " open the folders above it (chmod o+x), move it, or start viesti as a normal user."
            )


def _succeeds(account: Account, command: list[str]) -> bool:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        cwd="/",
        user=account.uid,
        group=account.gid,
        extra_groups=[],
    )
    return done.returncode == 0


def _let_pass(folder: Path, uid: int) -> bool:
    """Add ``user:uid:--x`` to the access list of ``folder`` (layout: linux/posix_acl_xattr.h)."""
    execute, undefined = 1, 0xFFFFFFFF
    user_obj, user, group_obj, mask, other = 0x01, 0x02, 0x04, 0x10, 0x20
    mode = folder.stat().st_mode
    try:
        present = os.getxattr(folder, ACL_ATTRIBUTE)
        entries = [struct.unpack_from("<HHI", present, at) for at in range(4, len(present), 8)]
    except OSError:
        entries = [
            (user_obj, mode >> 6 & 7, undefined),
            (group_obj, mode >> 3 & 7, undefined),
            (other, mode & 7, undefined),
        ]
    entries = [entry for entry in entries if (entry[0], entry[2]) != (user, uid)]
    entries.append((user, execute, uid))
    old_mask = next((perm for tag, perm, _ in entries if tag == mask), mode >> 3 & 7)
    entries = [entry for entry in entries if entry[0] != mask]
    entries.append((mask, old_mask | execute, undefined))
    entries.sort(key=lambda entry: (entry[0], entry[2]))
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(folder, ACL_ATTRIBUTE, packed)
    except OSError:
        return False
    return True
