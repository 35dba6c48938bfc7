"""viesti/bootstrap.py: what an installation is opened with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from viesti.bootstrap import open_installation
from viesti.kit.config import ConfigError, Settings


def in_folder(settings: Settings, folder: Path) -> Settings:
    """The settings of a machine whose key lies in ``folder``, if it has one."""
    return replace(settings, secret_key="", data_dir=folder)


def test_a_second_machine_without_the_key_is_refused_and_makes_none(
    settings: Settings, tmp_path: Path
) -> None:
    first, second = in_folder(settings, tmp_path / "a"), in_folder(settings, tmp_path / "b")
    with open_installation(first):
        pass
    assert first.key_file.exists()
    with pytest.raises(ConfigError, match="VIESTI_SECRET_KEY"), open_installation(second):
        pass
    assert not second.key_file.exists()
    second.data_dir.mkdir(exist_ok=True)
    second.key_file.write_text(first.key_file.read_text())
    with open_installation(second) as installation:
        assert installation.key.fingerprint


def test_a_key_on_top_of_the_old_one_takes_over(settings: Settings, tmp_path: Path) -> None:
    own = in_folder(settings, tmp_path / "a")
    with open_installation(own) as installation:
        sealed = installation.key.encrypt("test", b"kept")
        before = installation.key.fingerprint
    other = in_folder(settings, tmp_path / "b")
    own.key_file.write_text("A" * 43 + "=\n" + own.key_file.read_text())
    with open_installation(own) as installation:
        assert installation.key.fingerprint != before
        assert installation.key.decrypt("test", sealed) == b"kept"
    with pytest.raises(ConfigError), open_installation(other):
        pass
