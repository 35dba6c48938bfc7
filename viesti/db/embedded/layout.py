"""The embedded server's files inside the data folder, and its configuration."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from viesti.db.embedded.account import Account
from viesti.kit.errors import Unavailable

ADMIN = "postgres"
OWNER = "viesti"
DATABASE = "viesti"
PORT = 5432  # names the socket's file only: the server listens on no TCP port
SOCKET_PATH_LIMIT = 107  # bytes of sun_path without its NUL, Linux unix(7)
MAX_CONNECTIONS = 200


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below an absolute data folder."""

    data_dir: Path

    @property
    def pgdata(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def password_file(self) -> Path:
        return self.data_dir / "postgres.password"

    @property
    def start_log(self) -> Path:
        return self.data_dir / "postgres-start.log"

    @property
    def start_lock(self) -> Path:
        return self.data_dir / "postgres.lock"

    @property
    def users_lock(self) -> Path:
        return self.data_dir / "postgres.users"

    @property
    def socket_dir(self) -> Path:
        """Where the socket lies: in the data folder, or where a long path of it has no room."""
        inside = self.data_dir / "run"
        if len(os.fsencode(inside / f".s.PGSQL.{PORT}.lock")) <= SOCKET_PATH_LIMIT:
            return inside
        name = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        base = Path("/run") if os.geteuid() == 0 else _user_runtime_dir()
        return base / f"viesti-{os.geteuid()}-{name}"

    def dsn(self, user: str = OWNER, database: str = DATABASE) -> str:
        """The URL to connect with. Raises Unavailable if there is no embedded database yet."""
        admin, owner = self.read_passwords()
        password = admin if user == ADMIN else owner
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{user}:{password}@/{quote(database)}?host={host}&port={PORT}"

    def read_passwords(self) -> tuple[str, str]:
        """The administrator's and the owner's password."""
        try:
            admin, owner = self.password_file.read_text().split()
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"The embedded database's passwords cannot be read from {self.password_file}:"
                " run this as the user that runs viesti."
            ) from error
        return admin, owner

    def make_data_dir(self) -> None:
        """Make the data folder, closed to everybody else."""
        with contextlib.suppress(FileExistsError):
            # Root's service account has to pass through it, not to list it.
            mode = 0o711 if os.geteuid() == 0 else 0o700
            self.data_dir.mkdir(parents=True, mode=mode)

    def prepare(self, account: Account) -> None:
        """Make the passwords and the socket's folder. The start lock is held meanwhile."""
        if not self.password_file.exists():
            write_private(
                self.password_file, f"{secrets.token_urlsafe(24)}\n{secrets.token_urlsafe(24)}\n"
            )
        self.socket_dir.mkdir(mode=0o700, exist_ok=True)
        found = self.socket_dir.lstat()
        # In a shared folder somebody else could have made it first, to listen in our place.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), account.uid):
            raise Unavailable(f"{self.socket_dir} belongs to somebody else: remove it.")
        account.take(self.socket_dir)
        self.socket_dir.chmod(0o700)


def _user_runtime_dir() -> Path:
    found = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(found) if found and Path(found).is_dir() else Path("/tmp")  # noqa: S108


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to a file that only its owner may read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def access_rules() -> str:
    """pg_hba.conf: a password over the socket, and no other way in."""
    return "# Written by viesti.\nlocal all all scram-sha-256\n"


def configuration(layout: Layout) -> str:
    """The settings that viesti writes anew at each start; ``local.conf`` comes after them.

    Memory follows PostgreSQL's documentation (section 19.4.1: a quarter of the machine's for
    shared_buffers), capped because other programs share a newcomer's machine.
    """
    memory_mb = psutil.virtual_memory().total // 2**20
    shared_mb = max(64, min(1024, memory_mb // 8))
    settings: dict[str, str] = {
        "listen_addresses": "",
        "unix_socket_directories": str(layout.socket_dir),
        "unix_socket_permissions": "0700",
        "port": str(PORT),
        "max_connections": str(MAX_CONNECTIONS),
        "password_encryption": "scram-sha-256",
        "shared_buffers": f"{shared_mb}MB",
        "effective_cache_size": f"{max(128, memory_mb // 2)}MB",
        "work_mem": "8MB",
        "maintenance_work_mem": f"{max(64, min(512, memory_mb // 16))}MB",
        "wal_buffers": "16MB",
        "min_wal_size": "256MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "fsync": "on",
        "synchronous_commit": "on",
        "random_page_cost": "1.1",
        # Queries here are short; a parallel worker costs more than it brings and needs
        # /dev/shm, of which a container has 64 MB.
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
        # The queues' rows live for seconds, so what they leave is collected all the time.
        "autovacuum_naptime": "5s",
        "autovacuum_vacuum_cost_limit": "2000",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # A week of logs, each day's file overwriting the one of a week ago. Neither statements
        # nor details: they would hold texts and numbers.
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgres-%a.log",
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_min_messages": "warning",
    }
    lines = [
        f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()
    ]
    return "# Written by viesti at each start; put your own settings in local.conf.\n" + "".join(
        line + "\n" for line in lines
    )
