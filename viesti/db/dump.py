"""Write and read a dump of the whole database with PostgreSQL's own programs.

Used by ``viesti backup``, ``restore`` and ``upgrade-db``. The wheel's programs do it, newer
than any server they meet; for an external server those on the PATH come first, because the
wheel's cannot speak TLS.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import IO

import psycopg
from psycopg.conninfo import conninfo_to_dict

from viesti.db.embedded.binaries import get_binaries
from viesti.kit.errors import Unavailable

COPY_BYTES = 1 << 20
# libpq: section 32.15 of PostgreSQL's documentation, Environment Variables.
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


def write_dump(dsn: str, target: IO[bytes], *, embedded: bool) -> None:
    """A dump in the custom format, consistent as of its beginning, while others go on writing.

    Raises Unavailable with the last words of pg_dump if it fails.
    """
    command = [
        _program("pg_dump", dsn, embedded),
        "--format=custom",
        "--no-owner",
        "--no-privileges",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(dsn)
    ) as process:
        assert process.stdout is not None
        shutil.copyfileobj(process.stdout, target, COPY_BYTES)
        _check("dumped", process)


def read_dump(dsn: str, source: IO[bytes], *, embedded: bool) -> None:
    """Restore what ``write_dump`` wrote into an empty database, in one transaction.

    Raises Unavailable with the last words of pg_restore if it fails.
    """
    environment = _environment(dsn)
    command = [
        _program("pg_restore", dsn, embedded),
        "--single-transaction",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        f"--dbname={environment['PGDATABASE']}",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        try:
            shutil.copyfileobj(source, process.stdin, COPY_BYTES)
            process.stdin.close()
        except BrokenPipeError:
            pass  # its exit code and its words, read next, say why it stopped reading
        _check("restored", process)


def _check(done: str, process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    words = process.stderr.read().decode(errors="replace").strip().splitlines()
    if process.wait() != 0:
        raise Unavailable(f"The database could not be {done}: {' | '.join(words[-2:])}")


def _program(name: str, dsn: str, embedded: bool) -> str:
    """The wheel's program, or the PATH's if the server is external and not newer than it."""
    found = None if embedded else shutil.which(name)
    if found is not None:
        said = subprocess.run([found, "--version"], check=False, capture_output=True, text=True)
        major = re.search(r"\) (\d+)", said.stdout)
        with psycopg.connect(dsn) as conn:
            server = conn.info.server_version // 10_000
        if major is not None and int(major[1]) >= server:
            return found
    return get_binaries().program(name)


def _environment(dsn: str) -> dict[str, str]:
    """The connection by variables: a command line is for everybody to read."""
    parts = conninfo_to_dict(dsn)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    for part, variable in _VARIABLES.items():
        if (value := parts.get(part)) is not None:
            environment[variable] = str(value)
    environment.setdefault("PGDATABASE", environment.get("PGUSER", ""))
    return environment
