"""The platform's key and what is made from it: encryption at rest and keyed hashes.

One key of 32 random bytes protects all that is secret in the database: carriers' passwords,
webhook secrets, signing keys, and the hashes of client secrets. It lies outside the database,
so that a dump alone gives nothing away. The file may hold several keys, one a line: the first
is in use, the others still read what was written under them, so that a key can be rotated.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from viesti.kit.config import ConfigError, Settings
from viesti.kit.errors import Unavailable

KEY_BYTES = 32  # AES-256, and the output of SHA-256
NONCE_BYTES = 12  # NIST SP 800-38D section 8.2
_VERSION = b"\x01"
_MARK_BYTES = 4


class PlatformKey:
    """Keys, newest first. Everything is bound to a ``purpose``, such as ``carrier-password``."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError("a platform key is 32 bytes")
        self._keys = tuple(keys)
        self._derived: dict[tuple[bytes, str], bytes] = {}

    def __repr__(self) -> str:
        return f"PlatformKey({self.fingerprint})"

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without giving them away; stored to notice a wrong key."""
        return hashlib.sha256(self.derive("fingerprint")).hexdigest()[:16]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Of all keys, the newest first."""
        return tuple(
            hashlib.sha256(self._derive(key, "fingerprint")).hexdigest()[:16] for key in self._keys
        )

    def derive(self, purpose: str) -> bytes:
        """32 bytes for ``purpose`` from the newest key (HKDF-SHA-256, RFC 5869)."""
        return self._derive(self._keys[0], purpose)

    def encrypt(self, purpose: str, clear: bytes) -> bytes:
        """``clear`` under AES-256-GCM; only ``decrypt`` with the same purpose opens it."""
        key = self.derive(purpose)
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, clear, purpose.encode())
        return _VERSION + _mark(key) + nonce + sealed

    def decrypt(self, purpose: str, sealed: bytes) -> bytes:
        """What ``encrypt`` was given. Raises Unavailable if it was made under another key."""
        mark = sealed[1 : 1 + _MARK_BYTES]
        nonce = sealed[1 + _MARK_BYTES : 1 + _MARK_BYTES + NONCE_BYTES]
        body = sealed[1 + _MARK_BYTES + NONCE_BYTES :]
        for key in self._keys:
            derived = self._derive(key, purpose)
            if sealed[:1] == _VERSION and _mark(derived) == mark:
                with contextlib.suppress(InvalidTag):
                    return AESGCM(derived).decrypt(nonce, body, purpose.encode())
        raise Unavailable(
            f"A stored secret ({purpose}) was encrypted under another platform key:"
            " restore secret.key from the backup, or set VIESTI_SECRET_KEY."
        )

    def hash_secret(self, purpose: str, secret: str) -> bytes:
        """HMAC-SHA-256 of a long random secret: fast to check, useless without the key."""
        return hmac.digest(self.derive(purpose), secret.encode(), "sha256")

    def matches(self, purpose: str, secret: str, stored: bytes) -> bool:
        """Whether ``stored`` is the hash of ``secret`` under any of the keys, in equal time."""
        found = False
        for key in self._keys:
            digest = hmac.digest(self._derive(key, purpose), secret.encode(), "sha256")
            found |= hmac.compare_digest(digest, stored)
        return found

    def _derive(self, key: bytes, purpose: str) -> bytes:
        known = self._derived.get((key, purpose))
        if known is None:
            info = b"viesti " + purpose.encode()
            known = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)
            self._derived[key, purpose] = known
        return known


def _mark(derived: bytes) -> bytes:
    return hashlib.sha256(derived).digest()[:_MARK_BYTES]


def load_platform_key(settings: Settings) -> PlatformKey:
    """The key of VIESTI_SECRET_KEY or of the key file. Raises ConfigError if there is none."""
    if settings.secret_key:
        return _parse(settings.secret_key, "VIESTI_SECRET_KEY")
    try:
        text = settings.key_file.read_text()
    except OSError as error:
        raise ConfigError(
            f"The platform's key cannot be read from {settings.key_file} ({error.strerror}):"
            " set VIESTI_SECRET_KEY or VIESTI_SECRET_KEY_FILE."
        ) from error
    return _parse(text, str(settings.key_file))


def ensure_platform_key(settings: Settings) -> PlatformKey:
    """As ``load_platform_key``, but makes the key file, mode 0600, if there is none yet."""
    if not settings.secret_key and not settings.key_file.exists():
        _make(settings.key_file)
    return load_platform_key(settings)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(base64.b64encode(os.urandom(KEY_BYTES)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # link fails if another process was first: its key then is the key.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(fresh)
    finally:
        fresh.unlink()


def _parse(text: str, origin: str) -> PlatformKey:
    try:
        keys = [base64.b64decode(word, validate=True) for word in text.split()]
        return PlatformKey(keys)
    except (ValueError, binascii.Error):
        raise ConfigError(f"{origin} must hold base64 of 32 random bytes.") from None
