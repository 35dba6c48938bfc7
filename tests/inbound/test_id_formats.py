"""viesti/inbound/id_formats.py: what a match says of a carrier's habit."""

from __future__ import annotations

import pytest

from viesti.inbound.id_formats import format_of
from viesti.sms.dlr import id_candidates


@pytest.mark.parametrize(
    ("written", "known", "expected"),
    [
        ("2587", "a1b", "hex-dec"),
        ("0A1B", "2587", "dec-hex"),
        ("2587", "2587", "same"),
        ("0A1B", "a1b", None),  # read as hex-dec it stands for itself too
        ("id-7-z", "id-7-z", None),
        ("9", "9", None),
    ],
)
def test_only_a_match_of_one_format_is_evidence(
    written: str, known: str, expected: str | None
) -> None:
    assert format_of(id_candidates(written, "auto"), known) == expected
