"""viesti/kit/config.py and config_values.py."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path

import pytest

from viesti.kit.config import (
    ConfigError,
    LogFormat,
    Settings,
    describe,
    load_settings,
    to_environment,
)


@pytest.fixture(autouse=True)
def _empty_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults_hold_when_nothing_is_set() -> None:
    assert load_settings({}) == Settings()


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    (tmp_path / "viesti.toml").write_text(
        'port = 1000\nhost = "::1"\nsimulator = false\ntrusted_proxies = ["10.0.0.0/8"]\n'
    )
    settings = load_settings({"VIESTI_PORT": "2000"})
    assert settings.port == 2000
    assert settings.host == "::1"
    assert settings.simulator is False
    assert settings.trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"),)


def test_the_file_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("port = 7\n")
    assert load_settings({"VIESTI_CONFIG": str(tmp_path / "other.toml")}).port == 7
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_settings({"VIESTI_CONFIG": "missing.toml"})


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("VIESTI_PORT", "x", "VIESTI_PORT must be a whole number from 1 to 65535."),
        ("VIESTI_PORT", "70000", "VIESTI_PORT must be a whole number from 1 to 65535."),
        ("VIESTI_PORT", "", "VIESTI_PORT must be a whole number from 1 to 65535."),
        ("VIESTI_DEMO", "perhaps", "VIESTI_DEMO must be on or off (1 or 0, true or false)."),
        (
            "VIESTI_LOG_LEVEL",
            "loud",
            "VIESTI_LOG_LEVEL must be one of debug, info, warning, error.",
        ),
        ("VIESTI_PROT", "1", "There is no setting VIESTI_PROT; did you mean VIESTI_PORT?"),
        ("VIESTI_port", "1", "There is no setting VIESTI_port"),
        (
            "VIESTI_ZZZZZZ",
            "1",
            "There is no setting VIESTI_ZZZZZZ; `viesti config` lists them all.",
        ),
        ("VIESTI_SIMULATOR_PASSWORD", "123456789", "must be at most 8 ASCII characters"),
        ("VIESTI_WEBHOOK_TIMEOUT_S", "nan", "must be a number of seconds from 0.1 to 60"),
        ("VIESTI_HOST", "http://x", "must be an address or a host name"),
        ("VIESTI_HOST", "1.2.3.4.5", "must be an address or a host name"),
        ("VIESTI_HOST", "127.0.0.1:80", "must be an address or a host name"),
        ("VIESTI_HOST", "a b", "must be an address or a host name"),
        ("VIESTI_DATABASE_URL", "mysql://x", "must look like postgresql://"),
        ("VIESTI_PUBLIC_URL", "ftp://x", "must look like https://"),
        ("VIESTI_TRUSTED_PROXIES", "10.0.0.1/8", "must be addresses or networks"),
    ],
)
def test_a_wrong_value_or_name_is_one_clear_sentence(
    variable: str, value: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({variable: value})
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_wrong_file_is_named_in_the_sentence(tmp_path: Path) -> None:
    for text, sentence in (
        ("port = [", "is not valid TOML"),
        ("prot = 1", "did you mean port?"),
        ('port = "x"', "must be a whole number"),
        ("[port]\nx = 1", "must be a plain value, not a table"),
    ):
        (tmp_path / "viesti.toml").write_text(text)
        with pytest.raises(ConfigError, match=r"viesti\.toml") as refused:
            load_settings({})
        assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("host", "flag", "allowed"),
    [
        ("127.0.0.1", None, True),
        ("::1", None, True),
        ("localhost", None, True),
        ("0.0.0.0", None, False),
        ("texts.example.org", None, False),
        ("127.0.0.1", False, False),
        ("0.0.0.0", True, True),
    ],
)
def test_private_addresses_are_allowed_only_to_a_loopback_host_unless_told(
    host: str, flag: bool | None, allowed: bool
) -> None:
    assert Settings(host=host, allow_private=flag).private_allowed is allowed


def test_a_child_process_reads_the_very_same_settings() -> None:
    changed = Settings(
        database_url="postgresql://a:b@c/d",
        host="0.0.0.0",
        allow_private=False,
        trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")),
        simulator=False,
        simulator_receipt_delay_s=0.25,
        secret_key_file=Path("/somewhere"),
        log_format=LogFormat.JSON,
    )
    for settings in (Settings(), changed):
        assert load_settings(to_environment(settings)) == settings


def test_every_setting_is_described() -> None:
    described = describe()
    assert [info.key for info in described] == [f.name for f in dataclasses.fields(Settings)]
    assert all(info.help for info in described)


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = Settings(
        database_url="postgresql://u:hush@h/d", secret_key="hush", simulator_password="hush"
    )
    assert "hush" not in repr(settings)
