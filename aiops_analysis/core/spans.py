"""Spans of time as pairs of arrays, half-open, in Unix seconds: their union, and how much of them lies inside another span."""

from __future__ import annotations

import numpy as np

__all__ = ["inside", "merged"]


def merged(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The union of spans as disjoint spans in ascending order; spans without length are left out.

    >>> [side.tolist() for side in merged(np.array([5, 0, 2]), np.array([9, 3, 5]))]
    [[0], [9]]
    """
    real = ends > starts
    order = np.argsort(starts[real], kind="stable")
    begin, end = starts[real][order], np.maximum.accumulate(ends[real][order])
    if not len(begin):
        return begin, end
    first = np.concatenate([[True], begin[1:] > end[:-1]])
    return begin[first], end[np.concatenate([np.flatnonzero(first)[1:] - 1, [len(begin) - 1]])]


def inside(first: np.ndarray, last: np.ndarray, spans: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """How much of each span ``[first, last)`` the disjoint ascending ``spans`` cover [s]; 0 where ``last`` is not after ``first``.

    >>> inside(np.array([1.0]), np.array([7.0]), (np.array([0.0, 5.0]), np.array([3.0, 9.0]))).tolist()
    [4.0]
    """
    begin, end = spans
    first = np.asarray(first, float)
    last = np.maximum(np.asarray(last, float), first)
    if not len(begin):
        return np.zeros(len(first))
    return np.asarray(_covered_until(last, begin, end) - _covered_until(first, begin, end))


def _covered_until(moment: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How much of the spans lies before each moment [s]."""
    total = np.concatenate([[0.0], np.cumsum(end - begin, dtype=float)])
    place = np.searchsorted(begin, moment, side="right")
    over = np.where(place > 0, np.maximum(end[np.maximum(place - 1, 0)] - moment, 0), 0)
    return np.asarray(total[place] - over)
