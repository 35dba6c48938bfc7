"""The platform's settings: VIESTI_* variables over one TOML file, checked when read.

Every command calls ``load_settings`` once and hands the frozen result down. Each setting is
described here once, in its field; ``describe`` gives the table that ``viesti config`` and the
documentation print.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import ipaddress
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from viesti.kit import config_values
from viesti.kit.config_values import Network

PREFIX = "VIESTI_"
CONFIG_FILE = "viesti.toml"


class ConfigError(ValueError):
    """A setting that cannot be used; the message is one sentence that names it."""


class LogFormat(enum.Enum):
    AUTO = "auto"  # human on a terminal, else json
    JSON = "json"
    HUMAN = "human"


class LogLevel(enum.Enum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _set(
    parse: Callable[[str], Any], default: object, help_text: str, *, secret: bool = False
) -> Any:
    metadata = {"parse": parse, "help": help_text}
    return field(default=cast(Any, default), metadata=metadata, repr=not secret)


_port = config_values.read_whole(1, 65535)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings; the variable of ``data_dir`` is VIESTI_DATA_DIR, in TOML ``data_dir``."""

    database_url: str = _set(
        config_values.read_postgres_url,
        "",
        "PostgreSQL 15 or newer; empty: the embedded server in the data folder",
        secret=True,
    )
    database_direct_url: str = _set(
        config_values.read_postgres_url,
        "",
        "A connection past any pooler, for LISTEN and migrations; empty: as database_url",
        secret=True,
    )
    database_pool_size: int = _set(
        config_values.read_whole(2, 200), 8, "Connections per process, at most"
    )
    data_dir: Path = _set(
        config_values.read_path, Path(".viesti"), "The embedded database, keys and files"
    )
    secret_key: str = _set(
        config_values.read_text,
        "",
        "The platform's key, base64 of 32 bytes; empty: read from secret_key_file",
        secret=True,
    )
    secret_key_file: Path | None = _set(
        config_values.read_optional_path,
        None,
        "Where the key lies; empty: secret.key in the data folder",
    )
    host: str = _set(config_values.read_host, "127.0.0.1", "The address that the API listens on")
    port: int = _set(_port, 8080, "The port that the API listens on")
    api_workers: int | None = _set(
        config_values.read_optional_whole(1, 64),
        None,
        "Worker processes of the API; auto: two where there are two processors, else one",
    )
    public_url: str = _set(
        config_values.read_web_url, "", "The address that the outside sees; empty: http://host:port"
    )
    trusted_proxies: tuple[Network, ...] = _set(
        config_values.read_networks, (), "Proxies whose X-Forwarded-For is believed"
    )
    cors_origins: tuple[str, ...] = _set(
        config_values.read_origins, (), "Web origins whose pages may call the API; * for any"
    )
    allow_private: bool | None = _set(
        config_values.read_optional_flag,
        None,
        "Webhooks to loopback addresses; auto: only while host is loopback",
    )
    rate_limit_per_s: int = _set(
        config_values.read_whole(0, 1_000_000),
        20,
        "Requests a second of one API client, over all API processes; 0: any number",
    )
    rate_limit_burst: int = _set(
        config_values.read_whole(1, 1_000_000), 100, "Requests that one API client may make at once"
    )
    token_ttl_s: int = _set(
        config_values.read_whole(60, 3600), 3600, "How long an access token is good for"
    )
    files_url: str = _set(
        config_values.read_objects_url,
        "",
        "Where shared files lie: file://, s3://, gs:// or az://; empty: in the data folder",
    )
    file_max_mb: int = _set(config_values.read_whole(1, 100), 10, "The largest shared file, in MB")
    file_days: int = _set(
        config_values.read_whole(1, 3650), 30, "How long the link of a shared file is good for"
    )
    simulator: bool = _set(
        config_values.read_flag, True, "Whether serve starts the phone network simulator"
    )
    simulator_port: int = _set(_port, 2775, "The simulator's SMPP port")
    simulator_http_port: int = _set(_port, 8081, "The simulator's handset page")
    simulator_password: str = _set(
        config_values.read_smpp_password,
        "",
        "Of the simulator's SMPP account; empty: derived from the key",
        secret=True,
    )
    simulator_receipt_delay_s: float = _set(
        config_values.read_seconds(0, 86400), 0.5, "After which the simulator confirms a delivery"
    )
    demo: bool = _set(
        config_values.read_flag,
        True,
        "Whether the first start makes a demo account and a first text",
    )
    dispatchers: int = _set(
        config_values.read_whole(1, 64),
        2,
        "Dispatch processes that serve starts; the second takes over at once when one dies",
    )
    workers: int = _set(config_values.read_whole(1, 64), 1, "Work processes that serve starts")
    webhook_timeout_s: float = _set(
        config_values.read_seconds(0.1, 60), 15.0, "Within which a webhook's receiver must answer"
    )
    webhook_retry_scale: float = _set(
        config_values.read_factor,
        1.0,
        "Stretches or, for drills, shortens the waits between a webhook's retries",
    )
    import_max_mib: int = _set(
        config_values.read_whole(1, 2048), 200, "MiB of one contact file, at most"
    )
    import_max_rows: int = _set(
        config_values.read_whole(1, 2_000_000), 1_000_000, "Rows of one contact file, at most"
    )
    campaign_late_s: int = _set(
        config_values.read_whole(60, 86400),
        3600,
        "Up to which a campaign's run is made up for after a pause of the platform",
    )
    retention_events_days: int = _set(
        config_values.read_whole(1, 3650), 30, "How long events and webhook attempts are kept"
    )
    retention_receipts_days: int = _set(
        config_values.read_whole(1, 365), 7, "How long receipts that match no message are kept"
    )
    retention_idempotency_hours: int = _set(
        config_values.read_whole(1, 720), 24, "How long idempotency keys are kept"
    )
    log_level: LogLevel = _set(
        config_values.read_choice(LogLevel), LogLevel.INFO, "debug, info, warning or error"
    )
    log_format: LogFormat = _set(
        config_values.read_choice(LogFormat),
        LogFormat.AUTO,
        "json, human, or auto: human on a terminal",
    )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def api_processes(self) -> int:
        """The API's worker processes, ``auto`` resolved."""
        return self.api_workers or min(2, os.cpu_count() or 1)

    @property
    def private_allowed(self) -> bool:
        """Whether outbound calls may go to private addresses, ``auto`` resolved."""
        return self.is_loopback if self.allow_private is None else self.allow_private

    @property
    def base_url(self) -> str:
        """The API's address as clients see it, without a trailing slash."""
        if self.public_url:
            return self.public_url
        host = self.host if self.host not in ("0.0.0.0", "::") else "127.0.0.1"
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def handsets_url(self) -> str:
        """The simulator's handset page."""
        return f"http://127.0.0.1:{self.simulator_http_port}"

    @property
    def key_file(self) -> Path:
        return self.secret_key_file or self.data_dir / "secret.key"


@dataclass(frozen=True, slots=True)
class SettingInfo:
    variable: str
    key: str
    default: str
    help: str
    is_secret: bool


def _shown(value: object) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None or value == () else str(value)


def describe() -> list[SettingInfo]:
    """Every setting with its variable, TOML key, default and meaning, in order."""
    return [
        SettingInfo(
            PREFIX + f.name.upper(), f.name, _shown(f.default), f.metadata["help"], not f.repr
        )
        for f in dataclasses.fields(Settings)
    ]


def to_environment(settings: Settings) -> dict[str, str]:
    """The variables that make ``load_settings`` give ``settings`` in a child process."""
    shown: dict[str, str] = {}
    for f in dataclasses.fields(Settings):
        value: object = getattr(settings, f.name)
        if isinstance(value, tuple):
            value = ",".join(str(part) for part in cast("tuple[object, ...]", value))
        shown[PREFIX + f.name.upper()] = _shown(value)
    return shown


def load_settings(env: Mapping[str, str] = os.environ, toml_path: Path | None = None) -> Settings:
    """The settings of ``env`` over those of the TOML file over the defaults.

    The file is ``toml_path``, else VIESTI_CONFIG, else ``viesti.toml`` in the working folder
    if there is one. Raises ConfigError for an unknown name, a value that cannot be read, or a
    file that was named and is not there.
    """
    raw: dict[str, tuple[str, str]] = {}  # field -> (what to call it, value)
    named = toml_path or (Path(env[PREFIX + "CONFIG"]) if env.get(PREFIX + "CONFIG") else None)
    path = named or Path(CONFIG_FILE)
    if named is not None or path.is_file():
        raw.update(_read_toml(path))
    known = {f.name: f for f in dataclasses.fields(Settings)}
    for variable, value in env.items():
        if not variable.startswith(PREFIX) or variable == PREFIX + "CONFIG":
            continue
        name = variable[len(PREFIX) :].lower()
        if name not in known or variable != variable.upper():
            raise ConfigError(_unknown(variable, [PREFIX + n.upper() for n in known]))
        raw[name] = (variable, value)
    values: dict[str, Any] = {}
    for name, (title, text) in raw.items():
        try:
            values[name] = known[name].metadata["parse"](text)
        except ValueError as error:
            raise ConfigError(f"{title} {error}.") from None
    return Settings(**values)


def _unknown(title: str, known: list[str], where: str = "") -> str:
    near = difflib.get_close_matches(title, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; `viesti config` lists them all."
    return f"There is no setting {title}{where}{hint}"


def _read_toml(path: Path) -> dict[str, tuple[str, str]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {path} is not valid TOML: {error}.") from error
    known = [f.name for f in dataclasses.fields(Settings)]
    read: dict[str, tuple[str, str]] = {}
    for key, value in document.items():
        if key not in known:
            raise ConfigError(_unknown(key, known, f" in {path}"))
        if isinstance(value, list):
            value = ",".join(str(part) for part in cast("list[object]", value))
        elif isinstance(value, dict):
            raise ConfigError(f"{key} in {path} must be a plain value, not a table.")
        read[key] = (f"{key} in {path}", str(value))
    return read
