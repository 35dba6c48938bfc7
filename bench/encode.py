"""How fast the pure text engine is on one core: texts, templates and numbers a second.

    python bench/encode.py [--seconds 2]

Every text and number is distinct, so that no cache flatters the figure. Goals: 300,000 short
texts a second for encoding and counting, 150,000 well-formed numbers a second, 5 us a rendering
of plain fields.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from stage import machine

from viesti.domain.templates.render import compile_template
from viesti.sms.dlr import find_receipt
from viesti.sms.keywords import find_keyword
from viesti.sms.msisdn import parse_msisdn
from viesti.sms.segments import count_segments, encode_message

T = TypeVar("T")

BATCH = 20_000
WORDS = [
    "your",
    "order",
    "is",
    "ready",
    "at",
    "the",
    "shop",
    "we",
    "close",
    "tonight",
    "reply",
    "stop",
    "to",
    "end",
    "Thanks,",
    "see",
    "you",
]


def encode_and_count(text: str) -> None:
    count_segments(text)
    encode_message(text, 1)


def texts(random_: random.Random, prefix: str, words: int) -> list[str]:
    return [
        f"{prefix} {number}: {' '.join(random_.choices(WORDS, k=words))}" for number in range(BATCH)
    ]


def rate_per_s(work: Callable[[T], object], items: Sequence[T], seconds: float) -> float:
    """Calls a second: the best round of those that fit in ``seconds``, after one to warm up."""
    best = 0.0
    ends = time.perf_counter() + seconds
    rounds = 0
    while rounds < 2 or time.perf_counter() < ends:
        started = time.perf_counter()
        for item in items:
            work(item)
        if rounds:
            best = max(best, len(items) / (time.perf_counter() - started))
        rounds += 1
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each line")
    seconds: float = parser.parse_args().seconds
    random_ = random.Random(1)

    print(f"{machine()}, one core used")

    def show(name: str, rate: float) -> None:
        print(f"{name:<52}{rate:>12,.0f}/s{1e6 / rate:>9.2f} us")

    def measure(name: str, work: Callable[[T], object], items: Sequence[T]) -> None:
        show(name, rate_per_s(work, items, seconds))

    short = texts(random_, "Hi Ann", 9)
    measure("encode + count, GSM, about 55 characters", encode_and_count, short)
    measure("count only, the same", count_segments, short)
    measure("encode + count, GSM with a euro sign", encode_and_count, texts(random_, "5 €", 9))
    measure(
        "encode + count, UCS-2, about 55 characters", encode_and_count, texts(random_, "Zoë", 9)
    )
    measure("encode + count, GSM, three segments", encode_and_count, texts(random_, "Hi", 75))
    measure("find_keyword, ordinary texts", find_keyword, short)

    people = [
        {
            "firstName": f"Ann{number}",
            "mobile": {"number": f"+1347555{number:04d}", "country": "US"},
            "attributes": {"plan": f"gold{number}"},
            "tags": ["a"],
        }
        for number in range(BATCH)
    ]
    plain = compile_template("Hi {{{contact.firstName}}}, plan {{plan}}, {{ mobile }}")
    measure("render, three plain fields", plain.render, people)
    condition = compile_template(
        "Hi {{#if firstName}}{{firstName}}{{else}}you{{/if}}, {{plan}}", max_steps=None
    )
    measure("render, a condition", condition.render, people)

    area_codes = ["212", "347", "415", "646", "917"]
    us = [
        f"+1{random_.choice(area_codes)}{random_.randint(2, 9)}{random_.randint(0, 999_999):06d}"
        for _ in range(BATCH)
    ]
    world = [
        *us[: BATCH // 2],
        *(f"+447400{random_.randint(0, 999_999):06d}" for _ in range(BATCH // 4)),
        *(f"+46701{random_.randint(0, 999_999):06d}" for _ in range(BATCH // 4)),
    ]
    measure("parse_msisdn, distinct E.164, US", parse_msisdn, us)
    measure("parse_msisdn, distinct E.164, US, GB, SE", parse_msisdn, world)
    written = [f"({n[2:5]}) {n[5:8]}-{n[8:]}" for n in us]
    measure(
        "parse_msisdn, (347) 555-0101 written for US", lambda raw: parse_msisdn(raw, "US"), written
    )

    receipts = [
        f"id:{number:010d} sub:001 dlvrd:001 submit date:2603011000 done date:2603011001 "
        "stat:DELIVRD err:000 text:Hi"
        for number in range(BATCH)
    ]
    measure("find_receipt", find_receipt, receipts)


if __name__ == "__main__":
    main()
