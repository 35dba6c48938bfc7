"""viesti/kit/secrets.py."""

from __future__ import annotations

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from viesti.kit.config import ConfigError, Settings
from viesti.kit.errors import Unavailable
from viesti.kit.secrets import PlatformKey, ensure_platform_key, load_platform_key


def test_what_was_encrypted_for_one_purpose_opens_for_that_one_only() -> None:
    key = PlatformKey([os.urandom(32)])
    sealed = key.encrypt("carrier-password", b"hush")
    assert b"hush" not in sealed
    assert key.decrypt("carrier-password", sealed) == b"hush"
    with pytest.raises(Unavailable):
        key.decrypt("webhook-secret", sealed)


def test_the_same_secret_never_looks_the_same_twice() -> None:
    key = PlatformKey([os.urandom(32)])
    assert key.encrypt("p", b"hush") != key.encrypt("p", b"hush")


def test_a_changed_byte_is_noticed() -> None:
    key = PlatformKey([os.urandom(32)])
    sealed = bytearray(key.encrypt("p", b"hush"))
    for at in range(len(sealed)):
        broken = bytes(sealed[:at]) + bytes([sealed[at] ^ 1]) + bytes(sealed[at + 1 :])
        with pytest.raises(Unavailable):
            key.decrypt("p", broken)
    with pytest.raises(Unavailable):
        key.decrypt("p", b"")


def test_after_a_rotation_the_old_key_still_reads_and_the_new_one_writes() -> None:
    old, new = os.urandom(32), os.urandom(32)
    before = PlatformKey([old])
    sealed, digest = before.encrypt("p", b"hush"), before.hash_secret("p", "secret")
    both = PlatformKey([new, old])
    assert both.decrypt("p", sealed) == b"hush"
    assert both.matches("p", "secret", digest)
    assert PlatformKey([new]).decrypt("p", both.encrypt("p", b"fresh")) == b"fresh"
    with pytest.raises(Unavailable, match="another platform key"):
        PlatformKey([new]).decrypt("p", sealed)


def test_a_hash_matches_its_secret_alone() -> None:
    key = PlatformKey([os.urandom(32)])
    digest = key.hash_secret("client-secret", "right")
    assert key.matches("client-secret", "right", digest)
    assert not key.matches("client-secret", "wrong", digest)
    assert not key.matches("other", "right", digest)
    assert not key.matches("client-secret", "right", b"")


def test_the_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(ConfigError, match="VIESTI_SECRET_KEY_FILE"):
        load_platform_key(settings)
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _n: ensure_platform_key(settings), range(1)))
    assert {key.fingerprint for key in keys} == {load_platform_key(settings).fingerprint}
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_the_variable_wins_over_the_file(tmp_path: Path) -> None:
    raw = os.urandom(32)
    settings = Settings(data_dir=tmp_path, secret_key=base64.b64encode(raw).decode())
    assert ensure_platform_key(settings).fingerprint == PlatformKey([raw]).fingerprint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["short", "!!!!", base64.b64encode(b"x" * 31).decode()])
def test_a_key_that_is_none_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="must hold base64 of 32 random bytes"):
        load_platform_key(Settings(secret_key=text))


def test_a_key_does_not_show_when_printed() -> None:
    raw = os.urandom(32)
    assert raw.hex() not in repr(PlatformKey([raw]))
    assert repr(raw) not in repr(PlatformKey([raw]))
