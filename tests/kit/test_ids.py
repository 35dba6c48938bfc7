"""Ids: made one by one and many at once, they ascend in the order of the calls."""

from __future__ import annotations

from itertools import pairwise
from uuid import RFC_4122, UUID, SafeUUID

from viesti.kit.ids import new_id, new_ids


def test_ids_ascend_in_the_order_of_the_calls_however_they_are_made() -> None:
    made: list[UUID] = []
    for count in (1, 0, 7, 2_000, 1):
        for _ in range(50):
            made += [new_id(), *new_ids(count), new_id()]
    assert all(before < after for before, after in pairwise(made))


def test_ids_made_at_once_are_plain_uuids_of_version_7() -> None:
    # More than one row of them.
    made = new_ids(40_000)
    assert len(made) == 40_000
    assert all(before < after for before, after in pairwise(made))
    first = made[0]
    assert (first.version, first.variant, first.is_safe) == (7, RFC_4122, SafeUUID.unknown)
    assert UUID(str(first)) == first


def test_the_last_bits_of_ids_made_at_once_are_random() -> None:
    assert len({new_ids(1)[0].int & 0xFFFF for _ in range(100)}) > 90
    low = [made.int & 0xFFFF for made in new_ids(2_000)]
    assert sum(before < after for before, after in pairwise(low)) in range(800, 1_200)
