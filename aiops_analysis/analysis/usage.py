"""What a workload-container used in a window: exact pooled quantiles and the interval of the P95 (methods.md A2, A3, A5).

This is the only place of the project that computes a P95.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiops_analysis.analysis.statistics import quantile_of_sorted, student_t
from aiops_analysis.core.errors import SchemaError
from aiops_analysis.core.schema import GROUP, USAGE, check, empty
from aiops_analysis.core.window import Window, day_start

__all__ = ["usage_of_block"]

_P = 0.95
_LEVEL = 0.95
_LOWEST = 0.85  # the interval of the P95 rarely reaches below
_CHUNK = 2**20  # values handled at once: 4 MB stay in the cache
_DAY_S = 86_400
_FLOAT32_MAX = float(np.finfo(np.float32).max)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Samples = NDArray[np.float32]


def usage_of_block(
    labels: pd.DataFrame,
    day: NDArray[np.integer],
    samples: Samples,
    *,
    window: Window,
    resource: str,
    hot_hours: float = 24.0,
    largest: float = float("inf"),
) -> pd.DataFrame:
    """USAGE of one block that holds all rows of its workload-containers; pods are pooled, every pod-sample counts once.

    labels : frame of LABELS, one row per series-day. day : index of the UTC day in the window.
    samples : rows x steps [cores | bytes], NaN missing.
    largest : values above it are impossible (1.05 x the largest node) [cores | bytes]; they, infinities and negative values are left out
    and counted in ``dropped``.

    Quantiles interpolate linearly at rank q(n-1). ``lower`` and ``upper`` are one-sided 95 % Woodruff bounds with days as clusters: with
    f_d the share of day d's samples above the P95 and s = sd(f_d)/sqrt(D), they are the quantiles at 0.95 -/+ t(0.95, D-1)*s; NaN with
    fewer than two days. A workload-container without a sample keeps its row, with NaN. Sorted by GROUP.
    Raises SchemaError when the arguments do not fit together.
    """
    days = sum(1 for _ in window.days())
    if not len(labels) == len(day) == len(samples):
        raise SchemaError(f"usage needs one label row and one day per row of samples, got {len(labels)}, {len(day)} and {len(samples)}")
    if len(samples) == 0:
        return empty(USAGE)
    low, high = int(np.min(day)), int(np.max(day))
    if samples.ndim != 2 or low < 0 or high >= days:
        raise SchemaError(f"usage needs a matrix and days from 0 to {days - 1}, got {samples.ndim} dimensions and days {low} to {high}")
    block = _Block(samples, min(largest, _FLOAT32_MAX))
    group, names = _codes(labels, GROUP)
    pod, pods = _codes(labels, (*GROUP, "pod"))
    hot = _hottest(block, group, pod, pods["pod"], hot_hours * 3600 * samples.shape[1] / _DAY_S)
    by_day = _Daily(len(names[GROUP[0]]), days)
    by_day.measure(block, group, np.asarray(day, np.int64))
    pooled = _pooled(block, group, np.asarray(day, np.int64), by_day)
    figures = by_day.columns(window, samples.shape[1])
    hot["pods"] = np.maximum(np.asarray(hot["pods"]), by_day.samples.any(axis=1))  # an only pod was not counted apart
    later = {"pool": "", "pool_p95": np.nan, "cut": "", "rollout_ratio": np.nan}  # what the caller may know
    frame = pd.DataFrame({**names, "resource": resource, **hot, **later, **figures, **pooled})
    return check(frame, USAGE)


def _codes(labels: pd.DataFrame, columns: tuple[str, ...]) -> tuple[Ints, dict[str, list[str]]]:
    """A number for each row that is equal for equal labels and in their order, and the labels of each number."""
    code: Ints = np.zeros(len(labels), np.int64)
    first: Ints = np.zeros(1, np.int64)
    for column in columns:
        part, words = pd.factorize(labels[column], sort=True)
        _, first, inverse = np.unique(code * (len(words) + 1) + part, return_index=True, return_inverse=True)
        code = inverse.astype(np.int64)
    return code, {column: labels[column].iloc[first].astype("str").tolist() for column in columns}


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Segments of equal size: codes [n], row numbers [n, rows], samples [n, rows, steps], how many values were impossible [n].

    Impossible values are NaN in ``samples``, which may be a view of the block and is never written to.
    """

    codes: Ints
    index: Ints
    samples: Samples
    dropped: Ints

    def upper(self, share: float, *, median: bool = False) -> Samples:
        """All samples of each segment, in ascending order from rank ``share`` on and at the ``median``; NaN last.

        Selecting one rank costs a fifth of sorting everything, and no rank below is asked for. Segments with a missing sample have
        ranks of their own: they are sorted throughout.
        """
        flat = self.samples.reshape(len(self.codes), -1)
        rank = int(share * (flat.shape[1] - 1))
        if rank < 4 or np.isnan(flat).any():
            return np.sort(flat, axis=1)
        out = np.partition(flat, rank, axis=1)
        out[:, rank + 1 :].sort(axis=1)
        if median:
            middle = (flat.shape[1] - 1) // 2
            out[:, :rank].partition(middle, axis=1)
            out[:, middle + 1 : rank].partition(0, axis=1)
        return out


@dataclass(frozen=True, slots=True)
class _Block:
    """Samples with the largest possible value; gives cleaned matrices of whole segments (groups, days, pods)."""

    samples: Samples
    largest: float

    def segments(self, code: Ints, among: NDArray[np.bool_] | None = None) -> Iterator[_Chunk]:
        """Chunks of segments (rows of equal code) of equal size, in no promised order."""
        order = np.argsort(code, kind="stable")
        if among is not None:
            order = order[among[order]]
        codes, start, size = np.unique(code[order], return_index=True, return_counts=True)
        for rows in np.unique(size):
            same = np.flatnonzero(size == rows)
            many = max(1, _CHUNK // (int(rows) * self.samples.shape[1]))
            for at in range(0, len(same), many):
                part = same[at : at + many]
                yield self._chunk(codes[part], order[start[part][:, None] + np.arange(rows)])

    def _chunk(self, codes: Ints, index: Ints) -> _Chunk:
        flat = index.ravel()
        first, last = int(flat[0]), int(flat[-1])
        straight = last - first + 1 == len(flat) and bool((np.diff(flat) == 1).all())
        part = (self.samples[first : last + 1] if straight else self.samples[flat]).reshape(*index.shape, -1)
        wrong = (part < 0) | (part > self.largest)
        if not wrong.any():
            return _Chunk(codes, index, part, np.zeros(len(codes), np.int64))
        return _Chunk(codes, index, np.where(wrong, np.float32(np.nan), part), wrong.sum(axis=(1, 2)))


class _Daily:
    """Figures of each group and UTC day, as matrices [groups, days]."""

    def __init__(self, groups: int, days: int) -> None:
        shape = (groups, days)
        self.samples: Ints = np.zeros(shape, np.int64)
        self.dropped: Ints = np.zeros(shape, np.int64)
        self.steps: Ints = np.zeros(shape, np.int64)
        self.first: Ints = np.zeros(shape, np.int64)  # first and last step with a sample
        self.last: Ints = np.zeros(shape, np.int64)
        self.p95: Floats = np.full(shape, np.nan)
        self.max: Floats = np.full(shape, np.nan)

    def measure(self, block: _Block, group: Ints, day: Ints) -> None:
        """Fill the matrices from the samples."""
        steps, days = block.samples.shape[1], self.samples.shape[1]
        for chunk in block.segments(group * days + day):
            at, part = np.divmod(chunk.codes, days), chunk.samples
            missing = np.isnan(part)
            count = np.full(len(part), part[0].size, np.int64)
            self.steps[at], self.last[at], self.dropped[at] = steps, steps - 1, chunk.dropped
            if missing.any():
                count -= missing.sum(axis=(1, 2))
                seen: NDArray[np.bool_] = ~np.all(missing, axis=1)
                self.steps[at], self.first[at] = seen.sum(axis=1), seen.argmax(axis=1)
                self.last[at] = steps - 1 - seen[:, ::-1].argmax(axis=1)
            ordered = chunk.upper(_P)
            self.samples[at] = count
            self.p95[at] = quantile_of_sorted(ordered, count, _P)
            self.max[at] = quantile_of_sorted(ordered, count, 1.0)

    def columns(self, window: Window, steps: int) -> dict[str, object]:
        """The columns of USAGE that come from days."""
        seen: NDArray[np.bool_] = self.samples > 0
        start = day_start(next(window.days()))
        groups, days = seen.shape
        weekday = (start.weekday() + np.arange(days)) % 7
        some: NDArray[np.bool_] = np.any(seen, axis=1)
        first, last = seen.argmax(axis=1), days - 1 - seen[:, ::-1].argmax(axis=1)
        rows, length = np.arange(groups), _DAY_S // steps
        begin = int(start.timestamp())
        first_s = begin + first * _DAY_S + self.first[rows, first] * length
        last_s = begin + last * _DAY_S + (self.last[rows, last] + 1) * length
        return {
            "days": seen.sum(axis=1),
            "steps": self.steps.sum(axis=1, where=seen),
            "weekdays": np.stack([seen[:, weekday == w].any(axis=1) for w in range(7)]).sum(axis=0),
            "samples": self.samples.sum(axis=1),
            "dropped": self.dropped.sum(axis=1),
            "first_sample": _times(first_s, some),
            "last_sample": _times(last_s, some),
            "daily_p95": self.p95.tolist(),
            "daily_max": self.max.tolist(),
        }


def _times(seconds: Ints, known: NDArray[np.bool_]) -> pd.Series:
    moments = np.where(known, seconds, np.iinfo(np.int64).min).astype("datetime64[s]")
    return pd.Series(moments).dt.tz_localize("UTC")


def _pooled(block: _Block, group: Ints, day: Ints, daily: _Daily) -> dict[str, object]:
    """Quantiles and Woodruff bounds of each group over all pods and days."""
    groups, days = daily.samples.shape
    out = {name: np.full(groups, np.nan) for name in ("p50", "p90", "p95", "p99", "max", "lower", "upper")}
    saturated = np.zeros(groups, bool)
    for chunk in block.segments(group):
        codes, ordered = chunk.codes, chunk.upper(_LOWEST, median=True)
        count = daily.samples[codes].sum(axis=1)
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p95", _P), ("p99", 0.99), ("max", 1.0)):
            out[name][codes] = quantile_of_sorted(ordered, count, share)
        above = _above(chunk.samples, out["p95"][codes])
        place = np.arange(len(codes))[:, None] * days + day[chunk.index]
        above_of_day: Floats = np.bincount(place.ravel(), above.ravel(), len(codes) * days).astype(np.float64)
        half = _half_width(above_of_day.reshape(len(codes), days), daily.samples[codes])
        if (half > _P - _LOWEST - 0.01).any():  # a lower bound below what was put in order
            ordered = chunk.upper(0.0)
        for name, bound in (("lower", np.maximum(0.0, _P - half)), ("upper", np.minimum(1.0, _P + half))):
            out[name][codes] = quantile_of_sorted(ordered, count, bound)
        saturated[codes] = _P + half >= 1.0
    return {**out, "saturated": saturated}


def _above(part: Samples, p95: Floats) -> Floats:
    """Samples of each row that are above its group's P95, in [groups, rows].

    A float32 sample is above a float64 value exactly when it is above the value rounded down to float32: half the memory traffic.
    """
    single = p95.astype(np.float32)
    floor = np.where(single > p95, np.nextafter(single, np.float32(-np.inf)), single)
    above: Floats = (part > floor[:, None, None]).sum(axis=2).astype(np.float64)
    return above


def _half_width(above: Floats, samples: Ints) -> Floats:
    """t(0.95, D-1) * sd(f_d) / sqrt(D) of each group: what is added to and taken from 0.95; NaN with fewer than two days."""
    seen = samples > 0
    count = seen.sum(axis=1)
    share = np.divide(above, samples, out=np.zeros_like(above), where=seen)
    mean = share.sum(axis=1) / np.maximum(count, 1)
    squares = (np.where(seen, share - mean[:, None], 0.0) ** 2).sum(axis=1)
    t = np.array([student_t(int(df), _LEVEL) for df in count - 1])
    width: Floats = t * np.sqrt(squares / np.maximum(count - 1, 1)) / np.sqrt(np.maximum(count, 1))
    return width


def _hottest(block: _Block, group: Ints, pod: Ints, names: list[str], at_least: float) -> dict[str, object]:
    """Number of pods with samples of each group, and its hottest pod with at least so many samples; names : of each pod code."""
    groups = int(group.max()) + 1
    group_of = np.zeros(len(names), np.int64)
    group_of[pod] = group
    many = np.bincount(group_of, minlength=groups) > 1
    p95, count = np.full(len(names), np.nan), np.zeros(len(names), np.int64)
    for chunk in block.segments(pod, many[group]):
        seen = chunk.samples[0].size - np.isnan(chunk.samples).sum(axis=(1, 2))
        count[chunk.codes], p95[chunk.codes] = seen, quantile_of_sorted(chunk.upper(_P), seen, _P)
    hot_pod, hot_p95 = [""] * groups, np.full(groups, np.nan)
    for code in np.flatnonzero(count >= max(at_least, 1))[::-1]:  # backwards, so that the first name wins a tie
        if not p95[code] < hot_p95[group_of[code]]:
            hot_pod[group_of[code]], hot_p95[group_of[code]] = names[code], p95[code]
    return {"pods": np.bincount(group_of[count > 0], minlength=groups), "hot_pod": hot_pod, "hot_p95": hot_p95}
