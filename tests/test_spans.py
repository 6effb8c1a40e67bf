"""Spans of time: their union, and how much of them lies inside another."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aiops_analysis.core.spans import inside, merged

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def test_no_span_covers_nothing() -> None:
    none = merged(np.empty(0, np.int64), np.empty(0, np.int64))
    assert inside(np.array([1.0]), np.array([5.0]), none).tolist() == [0.0]


@given(SPANS, st.integers(0, 60), st.integers(0, 60))
def test_it_counts_what_seconds_count(spans, first: int, last: int) -> None:
    seconds = {second for start, end in spans for second in range(start, end)}
    begin, end = merged(np.array([a for a, _ in spans], np.int64), np.array([b for _, b in spans], np.int64))
    assert {second for a, b in zip(begin, end, strict=True) for second in range(a, b)} == seconds
    assert all(begin[1:] > end[:-1])  # disjoint, not even touching
    assert inside(np.array([first]), np.array([last]), (begin, end)).tolist() == [len(seconds & set(range(first, last)))]
