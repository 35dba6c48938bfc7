"""Where files lie: a folder, and a real S3-compatible server."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import boto3
import obstore
import pytest
from moto.server import ThreadedMotoServer

from viesti.kit.config import ConfigError, Settings
from viesti.kit.config_values import read_objects_url
from viesti.kit.objects import open_objects

KEY = "account/file"
CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="texts")
    yield "s3://texts/shared"
    server.stop()


def comes_back(settings: Settings) -> None:
    objects = open_objects(settings)
    obstore.put(objects, KEY, CONTENT)
    assert bytes(obstore.get_range(objects, KEY, start=0, end=len(CONTENT))) == CONTENT
    assert bytes(obstore.get_range(objects, KEY, start=256, end=260)) == CONTENT[:4]
    obstore.delete(objects, KEY)
    with pytest.raises(FileNotFoundError):
        obstore.get_range(objects, KEY, start=0, end=1)


def test_the_default_is_a_folder_of_the_data_folder(tmp_path: Path) -> None:
    comes_back(Settings(data_dir=tmp_path))
    assert (tmp_path / "files").stat().st_mode & 0o077 == 0


def test_a_folder_may_lie_elsewhere(tmp_path: Path) -> None:
    comes_back(Settings(data_dir=tmp_path, files_url=f"file://{tmp_path}/elsewhere"))
    assert (tmp_path / "elsewhere").is_dir()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_s3_compatible_server_keeps_files_too(bucket: str, tmp_path: Path) -> None:
    comes_back(Settings(data_dir=tmp_path, files_url=bucket))


def test_a_url_that_names_no_store_is_refused() -> None:
    assert read_objects_url(" s3://texts/shared ") == "s3://texts/shared"
    for wrong in ("https://example.com/x", "/var/files", "ftp://x"):
        with pytest.raises(ValueError, match="begin"):
            read_objects_url(wrong)
    with pytest.raises(ConfigError):
        open_objects(Settings(files_url="az://"))
