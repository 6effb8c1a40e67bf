"""Numbers for people."""

from __future__ import annotations

import pytest

from aiops_analysis.presentation import formats
from tests import frames


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.cpu(0.0452), "45m"),
        (formats.cpu(0.0099), "9.9m"),
        (formats.cpu(0.00996), "10m"),
        (formats.memory(170 * frames.MIB), "170 MiB"),
        (formats.memory(1.5 * frames.GIB), "1.5 GiB"),
        (formats.share(0.834), "83 %"),
        (formats.share(0.99999), "99.9 %"),
        (formats.share(1.0), "100 %"),
        (formats.share(0.0), "0 %"),
        (formats.share(-0.9), "−90 %"),
        (formats.money(1234.5, "USD"), "1,234.50 USD"),
        (formats.money(-0.001, "USD"), "0.00 USD"),
        (formats.money(frames.NAN, "USD"), "–"),
        (formats.total("cpu", 12.34), "12.3 cores"),
        (formats.day("2026-11-04"), "4 November 2026"),
    ],
)
def test_numbers_for_people(shown: str, expected: str) -> None:
    assert shown.replace("\xa0", " ") == expected
