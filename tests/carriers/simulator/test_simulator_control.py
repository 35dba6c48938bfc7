"""The control API over real HTTP: handsets, behaviour, log, guards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.carriers.carrier_rig import HANDSET, SENDER, Rig, submit
from viesti.carriers.base import Verdict
from viesti.carriers.simulator.server import Simulator
from viesti.carriers.simulator.settings import SimulatorSettings


class Api:
    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base

    async def __call__(
        self, method: str, path: str, document: object = None, **options: Any
    ) -> tuple[int, Any]:
        if document is not None:
            options["json"] = document
        url = self.base + path
        async with self.session.request(method, url, **options) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text


@pytest.fixture
async def api(rig: Rig) -> AsyncGenerator[Api]:
    async with aiohttp.ClientSession() as session:
        yield Api(session, f"http://127.0.0.1:{rig.simulator.http_port}")


async def test_a_handset_shows_what_it_received_with_parts_joined(rig: Rig, api: Api) -> None:
    client, heard = await rig.bound()
    client.submit(
        [
            submit("2", b"\x05\0\3\7\2\2 world", has_udh=True),
            submit("1", b"\x05\0\3\7\2\1hello", has_udh=True),
        ]
    )
    await heard.until(lambda: len(heard.receipts) == 2)
    await asyncio.sleep(0.05)
    status, handset = await api("GET", f"/handsets/{HANDSET}")
    assert status == 200
    assert handset["number"] == HANDSET
    (text,) = handset["texts"]
    assert (text["text"], text["peer"], text["parts"]) == ("hello world", SENDER, 2)
    assert text["states"] == ["DELIVRD acknowledged"] * 2
    assert text["message_ids"][0] == heard.outcomes[0].carrier_message_id
    _, listed = await api("GET", "/handsets")
    assert [each["number"] for each in listed["handsets"]] == [HANDSET]


async def test_a_handset_sends_a_text(rig: Rig, api: Api) -> None:
    _, heard = await rig.bound()
    status, sent = await api(
        "POST", f"/handsets/{HANDSET}/messages", {"to": "+1 202-555-0100", "text": "ж" * 100}
    )
    assert status == 201
    assert sent["parts"] == 2
    await heard.until(lambda: len(heard.texts) == 2)
    assert heard.texts[0].destination == SENDER
    await asyncio.sleep(0.05)
    _, handset = await api("GET", f"/handsets/{HANDSET}")
    assert handset["texts"][0]["states"] == ["taken"]
    assert handset["texts"][0]["text"] == "ж" * 100


async def test_behaviour_of_one_handset_and_of_many(rig: Rig, api: Api) -> None:
    status, handset = await api(
        "PUT", f"/handsets/{HANDSET}/behaviour", {"preset": "undeliverable", "err": "027"}
    )
    assert (status, handset["preset"], handset["own_behaviour"]) == (200, "custom", True)
    status, rules = await api(
        "PUT",
        "/behaviour",
        {
            "patterns": {"1347555*": {"preset": "refuse"}, "15005550005": None},
            "network": {"receipt_delay_s": 0.01, "receipt_form": "text", "rate_per_s": 100},
        },
    )
    assert status == 200
    assert rules["network"]["rate_per_s"] == 100
    client, heard = await rig.bound()
    client.submit(
        [
            submit("own"),
            submit("pattern", destination="+13475550177"),
            submit("freed", destination="+15005550005"),
        ]
    )
    await heard.until(lambda: len(heard.receipts) == 2)
    assert heard.verdicts() == {
        "own": Verdict.ACCEPTED,
        "pattern": Verdict.REFUSED,
        "freed": Verdict.ACCEPTED,
    }
    assert {d.receipt.carrier_error for d in heard.receipts if d.receipt} == {"000", "027"}
    await api("DELETE", f"/handsets/{HANDSET}/behaviour")
    _, handset = await api("GET", f"/handsets/{HANDSET}")
    assert handset["preset"] == "refuse"


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/behaviour", {"default": {"preset": "nonsense"}}),
        ("/behaviour", {"default": {"delay": 3}}),
        ("/behaviour", {"network": {"rate_per_s": -1}}),
        ("/behaviour", {"network": {"id_format": "octal"}}),
        ("/behaviour", {"network": {"receipt_delay_s": 1e308}}),
        ("/behaviour", {"network": {"rate_per_s": 5, "throttle_status": -1}}),
        ("/behaviour", {"default": {"answer": "refuse", "status": 4294967296}}),
        ("/behaviour", {"default": {"delay_s": -1}}),
        ("/behaviour", {"default": {"reply": "x" * 40000}}),
        ("/behaviour", {"patterns": {"1*": {"receipts": ["LOST"]}}}),
        ("/behaviour", []),
        (f"/handsets/{HANDSET}/behaviour", {"parts": {"first": {}}}),
        ("/handsets/%20/behaviour", {"preset": "deliver"}),
    ],
)
async def test_a_wrong_behaviour_is_refused_and_changes_nothing(
    api: Api, path: str, document: object
) -> None:
    _, before = await api("GET", "/behaviour")
    status, answer = await api("PUT", path, document)
    assert status == 400
    assert answer["error"]["message"]
    assert (await api("GET", "/behaviour"))[1] == before


async def test_the_log_is_filtered_and_paged(rig: Rig, api: Api) -> None:
    client, heard = await rig.bound()
    client.submit([submit(key, b"text %d" % key) for key in range(5)])
    await heard.until(lambda: len(heard.receipts) == 5)
    _, page = await api("GET", "/log?command=submit_sm&limit=2")
    assert [entry["text"] for entry in page["entries"]] == ["text 0", "text 1"]
    entry = page["entries"][0]
    assert (entry["source"], entry["destination"]) == (SENDER, HANDSET)
    assert (entry["direction"], entry["status"]) == ("in", 0)
    _, page = await api("GET", f"/log?command=submit_sm&after={page['after']}")
    assert [entry["text"] for entry in page["entries"]] == ["text 2", "text 3", "text 4"]
    _, page = await api("GET", "/log?direction=out&text=DELIVRD&source=%2B13475550101")
    assert len(page["entries"]) == 5
    _, page = await api("GET", "/log?command=submit_sm&status=8")
    assert page["entries"] == []
    assert (await api("GET", "/log?limit=many"))[0] == 400


async def test_counters_are_exact_and_reset(rig: Rig, api: Api) -> None:
    client, heard = await rig.bound()
    client.submit([submit(key) for key in range(20)])
    await heard.until(lambda: len(heard.receipts) == 20)
    _, counters = await api("GET", "/counters")
    submits = [
        count["count"]
        for count in counters["counts"]
        if (count["direction"], count["command"]) == ("in", "submit_sm")
    ]
    assert submits == [20]
    assert (counters["taken"], counters["duplicates"]) == (20, 19)
    await api("POST", "/reset", {})
    _, counters = await api("GET", "/counters")
    assert (counters["taken"], counters["counts"]) == (0, [])


async def test_connections_are_dropped_now_and_later(rig: Rig, api: Api) -> None:
    client, heard = await rig.bound()
    _, answer = await api("POST", "/drop", {"when": "now"})
    assert answer == {"dropped": 1}
    await heard.until(lambda: heard.bound == 2)
    await api("POST", "/drop", {"when": "before_answer", "after": 2})
    client.submit([submit("a"), submit("b")])
    await heard.until(lambda: heard.bound == 3)
    assert heard.verdicts() == {"a": Verdict.ACCEPTED, "b": Verdict.UNKNOWN}
    await api("POST", "/drop", {"when": "unbind"})
    await heard.until(lambda: heard.bound == 4)


async def test_an_outage_begins_and_ends(rig: Rig, api: Api) -> None:
    client, heard = await rig.bound()
    await api("POST", "/outage", {"kind": "refuse"})
    await heard.until(lambda: heard.reasons)
    assert client.room == 0
    _, health = await api("GET", "/health")
    assert health["binds"] == []
    await api("POST", "/outage", {"kind": "none"})
    await heard.until(lambda: heard.bound == 2)
    _, health = await api("GET", "/health")
    assert [bind["system_id"] for bind in health["binds"]] == ["viesti"]


async def test_open_pages_hear_of_changes(rig: Rig, api: Api) -> None:
    client, _ = await rig.bound()
    async with api.session.get(api.base + "/events") as stream, asyncio.timeout(5):
        assert stream.content_type == "text/event-stream"
        client.submit([submit("a", "grüße".encode("utf-16-be"), data_coding=8)])
        while True:
            line = await stream.content.readline()
            if line.startswith(b"data: {") and b"number" in line:
                break
    assert json.loads(line[6:])["texts"][0]["text"] == "grüße"


async def test_a_phone_is_added_and_removed(api: Api) -> None:
    status, handset = await api("POST", "/handsets", {"number": "+1 (347) 555-0199"})
    assert (status, handset["number"], handset["kept"]) == (201, "+13475550199", True)
    await api("DELETE", "/handsets/+13475550199")
    assert (await api("GET", "/handsets"))[1] == {"handsets": []}


# Guards


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8081", "127.0.0.1.nip.io", "[::"])
async def test_foreign_names_are_not_served(api: Api, host: str) -> None:
    status, _ = await api("GET", "/handsets", headers={"Host": host})
    assert status == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8081", "LOCALHOST"])
async def test_names_of_this_machine_are_served(api: Api, host: str) -> None:
    assert (await api("GET", "/handsets", headers={"Host": host}))[0] == 200


async def test_a_form_of_another_page_changes_nothing(api: Api) -> None:
    status, _ = await api(
        "POST", "/drop", data='{"when":"now"}', headers={"Content-Type": "text/plain"}
    )
    assert status == 415
    status, _ = await api("POST", "/reset", {}, headers={"Origin": "http://evil.example"})
    assert status == 403


@pytest.mark.parametrize("path", ["/", "/static/handsets.css", "/static/handsets.js"])
async def test_the_page_and_its_files_carry_a_strict_policy(api: Api, path: str) -> None:
    async with api.session.get(api.base + path) as response:
        assert response.status == 200
        policy = response.headers["Content-Security-Policy"]
        text = await response.text()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in text
    assert " style=" not in text


async def test_the_log_goes_to_a_bounded_file_if_wanted(tmp_path: Path) -> None:
    settings = SimulatorSettings(
        smpp_port=0, http_port=0, log_folder=tmp_path / "log", log_file_octets=1200
    )
    simulator = await Simulator(settings).start()
    log = simulator.network.log
    for number in range(30):
        log.add("in", "viesti#1", 0x15, 0, number)
        if number % 10 == 9:
            assert simulator.network.log_file is not None
            simulator.network.log_file.flush()
    await simulator.stop()
    # Numbers and texts stand in it.
    for path in (tmp_path / "log", *(tmp_path / "log").iterdir()):
        assert path.stat().st_mode & 0o077 == 0
    newer = (tmp_path / "log" / "pdus.jsonl").read_text().splitlines()
    older = (tmp_path / "log" / "pdus.1.jsonl").read_text().splitlines()
    # Ten lines pass 1,200 octets: each batch starts a new file, and the last two are kept.
    assert newer == []
    assert [json.loads(line)["sequence"] for line in older] == list(range(20, 30))
    assert json.loads(older[0])["command"] == "enquire_link"


async def test_rings_hold_no_more_than_they_are_told() -> None:
    settings = SimulatorSettings(
        smpp_port=0, http_port=0, log_size=10, handsets_kept=5, texts_kept_per_handset=3
    )
    simulator = await Simulator(settings).start()
    for number in range(20):
        for _ in range(5):
            simulator.send_text(f"+134755501{number:02}", SENDER, "hello")
    store = simulator.network.handsets
    assert len(store.latest(100)) == 5
    assert len(store.latest(1)[0].texts) == 3
    assert len(simulator.network.log.entries()) <= 10
    await simulator.stop()
