"""docs/quickstart.md, typed block by block on a fresh platform: what it prints is what is there."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Platform, start_platform
from tests.flows.rig import Account, free_port, until

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"
SENDER = "+12015550100"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_CREDENTIAL = re.compile(r'\b(ACCOUNT_ID|CLIENT_ID|CLIENT_SECRET)( = "|=)[\w-]+\.\.\.')


@pytest.fixture(scope="module")
def platform() -> Generator[Platform]:
    # What a reader looks at a moment later is asked for again and again here.
    yield from start_platform(rate_limit_per_s=0)


@dataclass
class Reader:
    """Types what the page says, with ``own`` values for what is printed there."""

    folder: Path
    account: Account
    own: dict[str, str]
    remembered: str = ""

    def adapt(self, text: str) -> str:
        credentials = {
            "ACCOUNT_ID": self.account.account_id,
            "CLIENT_ID": self.account.client_id,
            "CLIENT_SECRET": self.account.client_secret,
        }
        text = _CREDENTIAL.sub(lambda found: found[1] + found[2] + credentials[found[1]], text)
        for printed, value in self.own.items():
            text = text.replace(printed, value)
        return text

    def type(self, block: str) -> str:
        """What the block prints; its variables and functions stay for the blocks after it."""
        block = self.adapt(block)
        if block.startswith(("API=", "TOKEN=", "viesti_api()")):
            self.remembered += f"\n{block}"
            return ""
        done = subprocess.run(
            ["bash", "-c", f"{self.remembered}\n{block}"],
            check=True,
            capture_output=True,
            text=True,
            cwd=self.folder,
        )
        return done.stdout

    def sees(self, printed: Any, real: Any) -> bool:
        """Whether ``real`` has all that is printed; notes what a shortened value stands for."""
        if isinstance(printed, dict):
            return all(
                name in real and self.sees(value, real[name]) for name, value in printed.items()
            )
        if isinstance(printed, list):
            return len(printed) == len(real) and all(map(self.sees, printed, real))
        if isinstance(printed, str) and printed.endswith("..."):
            self.own[printed] = real
            return True
        if isinstance(printed, str) and _TIME.fullmatch(printed):
            return _TIME.fullmatch(real) is not None
        return bool(real == (self.adapt(printed) if isinstance(printed, str) else printed))


def credentials(platform: Platform) -> Account:
    def look() -> dict[str, str] | None:
        said = dict(
            re.findall(r"(Account id|Client id|Client secret) +(\S+)", platform.log.read_text())
        )
        return said if len(said) == 3 else None

    said = until(look, "the credentials of the demo account")
    return Account(
        platform.base, said["Account id"], said["Client id"], said["Client secret"], SENDER
    )


@pytest.mark.load
def test_what_the_quickstart_prints_is_what_its_reader_gets(
    platform: Platform, tmp_path: Path
) -> None:
    account = credentials(platform)
    hook = str(free_port())
    own = {
        "http://127.0.0.1:8080": platform.base,
        "http://127.0.0.1:8081": platform.handsets.base,
        "127.0.0.1:9000": f"127.0.0.1:{hook}",
        '"127.0.0.1", 9000': f'"127.0.0.1", {hook}',
        ".venv/bin/python": sys.executable,
    }
    reader = Reader(tmp_path, account, own)
    blocks = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    compared = 0
    heard = tmp_path / "receiver.log"
    receiver: subprocess.Popen[bytes] | None = None
    try:
        for (kind, text), (next_kind, printed) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
            if kind == "python" and "Receiver" in text:
                (tmp_path / "receiver.py").write_text(reader.adapt(text))
            elif kind == "python":
                (tmp_path / "first.py").write_text(reader.adapt(text))
                assert reader.type(".venv/bin/python first.py") == printed
                compared += 1
            elif "receiver.py" in text:
                with heard.open("wb") as output:
                    receiver = subprocess.Popen(
                        reader.adapt(text).split(), cwd=tmp_path, stdout=output
                    )
                until(lambda: listens(int(hook)), "a receiver that listens")
            elif kind == "sh":
                said = reader.type(text)
                if next_kind == "json":
                    compared += 1
                    compare(reader, text, said, printed)
                elif next_kind == "" and receiver:
                    compared += 1
                    hears(heard, printed)
                rest(reader, text)
    finally:
        if receiver:
            receiver.kill()
            receiver.wait()
    assert compared == 8


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def hears(log: Path, printed: str) -> None:
    """Events keep no order among several contacts; of earlier texts more may come meanwhile."""
    wanted = Counter(printed.splitlines())

    def look() -> bool:
        return wanted <= Counter(line.rstrip() for line in log.read_text().splitlines())

    try:
        until(look, f"the events {printed}")
    except AssertionError as error:
        raise AssertionError(f"{error}\nheard:\n{log.read_text()}") from error


def compare(reader: Reader, typed: str, said: str, printed: str) -> None:
    wanted = json.loads(printed)

    def look() -> bool:
        nonlocal said
        if reader.sees(wanted, json.loads(said)):
            return True
        assert "viesti_api GET" in typed, (printed, said)
        said = reader.type(typed)
        return False

    until(look, f"{printed} of {typed}")


def rest(reader: Reader, typed: str) -> None:
    """Until texts to and from phones have come: a reader types slower than they travel."""
    for text in re.findall(r'"to": "[^"]+", "text": "([^"]+)"', typed):
        until(lambda text=text: reader.account.inbound(text), f"the reply {text}")

    def look() -> bool:
        found = reader.account.get("messages?limit=100")
        return not any(message["status"] in ("queued", "sent") for message in found)

    if "viesti_api POST" in typed or "/handsets/" in typed:
        until(look, "texts that arrived")
