"""Small statistics that need no scipy: Student's t, Theil-Sen slope and the Mann-Kendall trend test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["mann_kendall", "quantile_of_sorted", "student_t", "theil_sen"]

_EXACT_UP_TO = 30  # days: beyond, the normal approximation differs from the exact test by less than 0.001


def _central_share(t: float, df: int) -> float:
    """P(-t <= T <= t) of Student's t with whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    if df == 1:
        return 2 * angle / math.pi
    odd = df % 2
    term = cosine if odd else 1.0
    total = term
    for k in range(2 + odd, df - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2 * (angle + sine * total) / math.pi if odd else sine * total


@lru_cache(maxsize=512)
def student_t(df: int, level: float = 0.95) -> float:
    """One-sided quantile of Student's t: the value that T stays below with probability ``level``, NaN for df < 1.

    >>> round(student_t(13), 4), round(student_t(27), 4)
    (1.7709, 1.7033)
    """
    if df < 1:
        return math.nan
    if not 0.5 <= level < 1:
        raise ValueError(f"a level of Student's t must be in [0.5, 1), got {level}")
    low, high = 0.0, 1.0
    while (1 + _central_share(high, df)) / 2 < level:
        high *= 2
    for _ in range(80):  # halving to the last bit of a double
        middle = (low + high) / 2
        low, high = (middle, high) if (1 + _central_share(middle, df)) / 2 < level else (low, middle)
    return (low + high) / 2


def quantile_of_sorted(ordered: NDArray[np.floating], counts: NDArray[np.int64], share: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Quantile of each row of a matrix sorted along its rows with NaN last: rank share*(n-1), linear between neighbours.

    The same arithmetic as ``numpy.quantile`` on float64, to the last bit; PromQL's ``quantile`` has the same ranks.
    counts : values of each row that are not NaN. share : one for all rows or one per row. No values or a NaN share give NaN.
    """
    rows = np.arange(len(ordered))
    known = (counts > 0) & np.isfinite(share)
    rank = np.maximum(counts - 1, 0) * np.where(known, share, 0.0)
    below = np.floor(rank).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(counts - 1, 0))
    low, high = ordered[rows, below].astype(np.float64), ordered[rows, above].astype(np.float64)
    weight, gap = rank - below, high - low
    value: NDArray[np.float64] = np.where(weight >= 0.5, high - gap * (1 - weight), low + gap * weight)
    return np.where(known, value, np.nan)


@lru_cache(maxsize=64)
def _pairs(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of n days, the earlier first."""
    first, second = np.triu_indices(n, 1)
    return first, second


def theil_sen(values: Sequence[float]) -> float:
    """Median slope over all pairs of days [unit per day], missing days (NaN) left out; NaN for fewer than two (Theil 1950, Sen 1968)."""
    y = np.asarray(values, np.float64)
    day = np.flatnonzero(np.isfinite(y))
    if len(day) < 2:
        return math.nan
    first, second = _pairs(len(day))
    return float(np.median((y[day[second]] - y[day[first]]) / (day[second] - day[first])))


def mann_kendall(values: Sequence[float]) -> tuple[int, float]:
    """Mann-Kendall trend test: the score S (pairs of days that rise minus pairs that fall) and its two-sided p value.

    The p value is exact without ties up to 30 days, else the normal approximation with tie and continuity correction, and NaN for fewer
    than three days (Mann 1945, Kendall 1975).
    """
    y = np.asarray(values, np.float64)
    y = y[np.isfinite(y)]
    n = len(y)
    first, second = _pairs(n)
    score = int(np.sign(y[second] - y[first]).sum())
    if n < 3:
        return score, math.nan
    ties = np.unique(y, return_counts=True)[1]
    if n <= _EXACT_UP_TO and ties.max() == 1:
        return score, min(1.0, 2 * _exact_tail(n, abs(score)))
    variance = (n * (n - 1) * (2 * n + 5) - int((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance == 0 or score == 0:
        return score, 1.0
    return score, math.erfc((abs(score) - 1) / math.sqrt(variance) / math.sqrt(2))


@lru_cache(maxsize=64)
def _inversions(n: int) -> tuple[int, ...]:
    """How many orders of n values have 0, 1, 2, ... inversions."""
    counts = [1]
    for k in range(2, n + 1):
        counts = [sum(counts[max(0, i - k + 1) : i + 1]) for i in range(len(counts) + k - 1)]
    return tuple(counts)


def _exact_tail(n: int, score: int) -> float:
    """P(S >= score) when every order of n values is equally likely."""
    pairs = n * (n - 1) // 2
    return sum(_inversions(n)[: (pairs - score) // 2 + 1]) / math.factorial(n)
